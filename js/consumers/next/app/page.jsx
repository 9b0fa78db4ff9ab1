import { cookies } from "next/headers";
import { Cart } from "./cart.jsx";

// It asks for the visitor's cookies, so it is rendered for each.
export default async function Page() {
  const cookie = (await cookies()).toString();
  const url = `${process.env.SESSIONS}/sessions/initial?session=cart`;
  const answer = await fetch(url, { headers: { cookie } });
  return <Cart initial={answer.ok ? await answer.json() : undefined} />;
}
