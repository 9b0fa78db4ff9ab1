// What TinyGo's runtime wants of a libc: the seed of its hash maps. There is no
// libc, so wasm.json says -ffreestanding: the headers are the compiler's own.
#include <stddef.h>
#include <stdint.h>

__attribute__((import_module("wasi_snapshot_preview1"), import_name("random_get")))
uint16_t random_get(void *bytes, size_t count);

uint32_t arc4random(void)
{
	uint32_t n;
	if (random_get(&n, sizeof n) != 0)
		__builtin_trap();
	return n;
}
