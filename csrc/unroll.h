/* FM_UNROLL(n): the loop that follows, of n rounds at most, unrolls entirely, so that arrays it indexes become registers.
 *
 * gcc unrolls by a number. So does clang, but late, when arrays stay in memory: 14's products took 2 to 4 times as long.
 * What it unrolls in full it unrolls early; its bound is its own. */
#ifndef FM_UNROLL_H
#define FM_UNROLL_H

#define FM_PRAGMA(text) _Pragma(#text)
#ifdef __clang__
#define FM_UNROLL(n) FM_PRAGMA(clang loop unroll(full))
#else
#define FM_UNROLL(n) FM_PRAGMA(GCC unroll n)
#endif

#endif
