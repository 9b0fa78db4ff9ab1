declare module "lscache" {
  const lscache: {
    set(key: string, value: unknown, minutes?: number): boolean;
    get(key: string): unknown;
  };
  export default lscache;
}
