#define _POSIX_C_SOURCE 200809L
#include "pool.h"

#if defined(_WIN32)

int fm_pool_enter(int wanted)
{
    (void)wanted;
    return 1;
}
void fm_pool_leave(int granted) { (void)granted; }
void fm_pool_run(int n, fm_task *task, void *job)
{
    for (int i = 0; i < n; i++)
        task(job, i);
}
int64_t fm_pool_next(fm_counter *counter) { return (*counter)++; }

#else

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

/* How long a thread looks for work, or the caller for the end of it, before it sleeps: longer than what lies between
 * two regions of a training run or two calls of a loop in Python, shorter than anybody would notice. */
enum { SPIN_NANOSECONDS = 100000, SPINS_AT_A_TIME = 64 };

static struct {
    pthread_mutex_t lock; /* for sleeping and waking only */
    pthread_cond_t work, done;
    atomic_int callers;
    atomic_int taken; /* whether one of the callers has the pool; what follows is its own */
    int n_workers;
    fm_task *task;
    void *job;
    _Alignas(64)
        atomic_ullong open; /* bit i: task i waits for a thread. Set, it also says that task and job are set. */
    _Alignas(64) atomic_int unfinished;
    atomic_int asleep;  /* workers that wait for `work` */
    atomic_int waiting; /* whether the caller waits for `done` */
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};

int64_t fm_pool_next(fm_counter *counter) { return atomic_fetch_add(counter, 1); }

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int work_is_open(void) { return atomic_load(&pool.open) != 0; }
static int all_is_done(void) { return atomic_load(&pool.unfinished) == 0; }

/* Look for a while; returns what was seen last. After a few looks it yields: the thread that is waited for may have been
 * put on this very processor. */
static inline int spin_until(int (*holds)(void))
{
    const int64_t end = now() + SPIN_NANOSECONDS;
    do
        for (int i = 0; i < SPINS_AT_A_TIME; i++) {
            if (holds())
                return 1;
            relax();
        }
    while (sched_yield() == 0 && now() < end);
    return 0;
}

/* Run open tasks, first the one that has this thread's number: its data may be in this processor's cache from the
 * region before. A claim that succeeds is a claim in the present region, however old the look at `open` is: a region
 * does not end before its tasks have. */
static void run_open_tasks(int self)
{
    unsigned long long open = atomic_load(&pool.open);
    while (open) {
        const int i = open >> self & 1 ? self : __builtin_ctzll(open);
        if (!atomic_compare_exchange_weak(&pool.open, &open, open & ~(1ULL << i)))
            continue;
        pool.task(pool.job, i);
        if (atomic_fetch_sub(&pool.unfinished, 1) == 1 && atomic_load(&pool.waiting)) {
            pthread_mutex_lock(&pool.lock);
            pthread_cond_signal(&pool.done);
            pthread_mutex_unlock(&pool.lock);
        }
        open = atomic_load(&pool.open);
    }
}

/* A sleeper has counted itself before its last look at `open`, and who opens tasks looks at that count afterwards: one
 * of the two sees the other. `unfinished` and `waiting` are such a pair, too. */
static void *work(void *number)
{
    for (;;) {
        if (!spin_until(work_is_open)) {
            pthread_mutex_lock(&pool.lock);
            atomic_fetch_add(&pool.asleep, 1);
            while (!work_is_open())
                pthread_cond_wait(&pool.work, &pool.lock);
            atomic_fetch_sub(&pool.asleep, 1);
            pthread_mutex_unlock(&pool.lock);
        }
        run_open_tasks((int)(intptr_t)number);
    }
    return NULL;
}

/* Threads for n tasks beside the caller's, as far as the system gives them. They take no signals, which are for the
 * threads of the interpreter, and nobody waits for them when the process ends. */
static void start_workers(int n)
{
    sigset_t all, before;
    pthread_attr_t detached;
    pthread_t thread;
    if (pool.n_workers >= n)
        return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    while (pool.n_workers < n && pthread_create(&thread, &detached, work, (void *)(intptr_t)(pool.n_workers + 1)) == 0)
        pool.n_workers += 1;
    pthread_attr_destroy(&detached);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* The child of a fork has one thread, which is in no call; whatever the others held is gone with them. */
static void start_anew(void)
{
    pool.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    pool.work = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    pool.done = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    pool.n_workers = 0;
    atomic_store(&pool.callers, 0);
    atomic_store(&pool.taken, 0);
    atomic_store(&pool.open, 0);
    atomic_store(&pool.unfinished, 0);
    atomic_store(&pool.asleep, 0);
    atomic_store(&pool.waiting, 0);
}

static void watch_forks(void) { pthread_atfork(NULL, NULL, start_anew); }

int fm_pool_enter(int wanted)
{
    static pthread_once_t watching = PTHREAD_ONCE_INIT;
    pthread_once(&watching, watch_forks);
    int n = wanted - atomic_fetch_add(&pool.callers, 1);
    if (n > FM_MAX_THREADS)
        n = FM_MAX_THREADS;
    if (n < 2 || atomic_exchange(&pool.taken, 1))
        return 1;
    start_workers(n - 1);
    return n;
}

void fm_pool_leave(int granted)
{
    if (granted > 1)
        atomic_store(&pool.taken, 0);
    atomic_fetch_sub(&pool.callers, 1);
}

void fm_pool_run(int n, fm_task *task, void *job)
{
    if (n == 1) {
        task(job, 0);
        return;
    }
    pool.task = task;
    pool.job = job;
    atomic_store(&pool.unfinished, n);
    atomic_store(&pool.open, ~0ULL >> (FM_MAX_THREADS - n));
    const int asleep = atomic_load(&pool.asleep), missing = n - 1 - (pool.n_workers - asleep);
    if (asleep > 0 && missing > 0) {
        pthread_mutex_lock(&pool.lock);
        for (int i = 0; i < missing && i < asleep; i++)
            pthread_cond_signal(&pool.work);
        pthread_mutex_unlock(&pool.lock);
    }
    run_open_tasks(0);
    if (!spin_until(all_is_done)) {
        pthread_mutex_lock(&pool.lock);
        atomic_store(&pool.waiting, 1);
        while (!all_is_done())
            pthread_cond_wait(&pool.done, &pool.lock);
        atomic_store(&pool.waiting, 0);
        pthread_mutex_unlock(&pool.lock);
    }
}

#endif
