/* Denormal numbers, read as zero and written as zero, for as long as a loop runs: they are rare and a hundred times as slow
 * as others. On processors where there is no such switch here they stay, and are merely slow. */
#ifndef FM_DENORMALS_H
#define FM_DENORMALS_H

#if defined(__SSE2__)
#include <immintrin.h>

/* Bits of MXCSR: flush to zero, denormals are zero. */
#define FM_NO_DENORMALS 0x8040u

/* The thread's mode, to be restored. The empty asm keeps loads and stores from moving across the switch, and with them
 * the arithmetic between. */
static inline unsigned fm_flush_denormals(void)
{
    const unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | FM_NO_DENORMALS);
    __asm__ volatile("" : : : "memory");
    return mode;
}

static inline void fm_restore_denormals(unsigned mode)
{
    __asm__ volatile("" : : : "memory");
    _mm_setcsr(mode);
}
#else
static inline unsigned fm_flush_denormals(void) { return 0; }

static inline void fm_restore_denormals(unsigned mode) { (void)mode; }
#endif

#endif
