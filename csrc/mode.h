/* The floating-point mode of the calling thread, put aside for a call: results depend on no mode that another library has
 * left behind (flush-to-zero, which whatever is linked with -ffast-math switches on; a direction of rounding), and are the
 * same in the threads of the pool, which keep the mode that they were made in, that of a call.
 *
 * Known for x86 with SSE, whose MXCSR vectors go by and, in 64 bits, all arithmetic; elsewhere the mode is the caller's. */
#ifndef FM_MODE_H
#define FM_MODE_H

#if defined(__SSE__)

/* To the nearest, denormal numbers as they are, no traps; the lowest six bits say what has happened and change nothing. */
enum { FM_MODE_DEFAULT = 0x1F80, FM_MODE_EVENTS = 0x3F };

static inline unsigned fm_enter_mode(void)
{
    const unsigned mode = __builtin_ia32_stmxcsr();
    if ((mode & ~(unsigned)FM_MODE_EVENTS) != FM_MODE_DEFAULT)
        __builtin_ia32_ldmxcsr(FM_MODE_DEFAULT);
    return mode;
}

static inline void fm_leave_mode(unsigned mode)
{
    if ((mode & ~(unsigned)FM_MODE_EVENTS) != FM_MODE_DEFAULT)
        __builtin_ia32_ldmxcsr(mode);
}

#else

static inline unsigned fm_enter_mode(void) { return 0; }
static inline void fm_leave_mode(unsigned mode) { (void)mode; }

#endif
#endif
