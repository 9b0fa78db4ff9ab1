import { Cart } from "./cart.jsx";

// As most pages of a shop are: rendered for each visitor, not once for all.
export const dynamic = "force-dynamic";

export default function Page() {
  return <Cart />;
}
