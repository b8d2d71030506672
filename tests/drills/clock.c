/* A wall clock that steps: what a process is told of it lies off by what a file says.
 *
 * Loaded before the C library (LD_PRELOAD), it answers clock_gettime for the wall clock alone: the
 * monotonic one goes on as it does on a real machine whose clock is set. DRILL_CLOCK names the file:
 * eight bytes, microseconds, as this machine writes them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static const int64_t *offset_micros;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("DRILL_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        abort();
    void *page = mmap(NULL, sizeof *offset_micros, PROT_READ, MAP_SHARED, file, 0);
    if (page == MAP_FAILED)
        abort();
    close(file);
    offset_micros = page;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(clock, now);
    if (status != 0 || clock != CLOCK_REALTIME || !offset_micros)
        return status;
    int64_t micros = now->tv_nsec / 1000 + *(volatile const int64_t *)offset_micros;
    int64_t seconds = micros / 1000000;
    if (micros % 1000000 < 0)
        seconds -= 1;
    now->tv_sec += seconds;
    now->tv_nsec = (micros - seconds * 1000000) * 1000 + now->tv_nsec % 1000;
    return 0;
}
