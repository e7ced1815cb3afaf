/* A disk whose N-th write or sync fails, for files of a journal: loaded before the C library.
 *
 * plan("write" | "sync" | "truncate", nth, times) is called by the process itself, once it is ready.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static char planned[16];
static long from_nth, until_nth, seen;

void plan(const char *kind, long nth, long times) {
    snprintf(planned, sizeof planned, "%s", kind);
    from_nth = nth;
    until_nth = nth + times;
    seen = 0;
}

static int fails(const char *kind, int file) {
    char link[64], path[4096];
    ssize_t length;
    if (strcmp(kind, planned) != 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (strstr(path, ".journal") == NULL || strstr(path, ".lock") != NULL) return 0;
    seen++;
    return seen >= from_nth && seen < until_nth;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite(int file, const void *data, size_t length, off_t at) {
    if (fails("write", file)) { errno = ENOSPC; return -1; }
    return REAL(pwrite)(file, data, length, at);
}

ssize_t pwrite64(int file, const void *data, size_t length, off64_t at) {
    if (fails("write", file)) { errno = ENOSPC; return -1; }
    return REAL(pwrite64)(file, data, length, at);
}

ssize_t write(int file, const void *data, size_t length) {
    if (fails("write", file)) { errno = ENOSPC; return -1; }
    return REAL(write)(file, data, length);
}

int fsync(int file) {
    if (fails("sync", file)) { errno = EIO; return -1; }
    return REAL(fsync)(file);
}

int fdatasync(int file) {
    if (fails("sync", file)) { errno = EIO; return -1; }
    return REAL(fdatasync)(file);
}

int ftruncate(int file, off_t length) {
    if (fails("truncate", file)) { errno = EIO; return -1; }
    return REAL(ftruncate)(file, length);
}

int ftruncate64(int file, off64_t length) {
    if (fails("truncate", file)) { errno = EIO; return -1; }
    return REAL(ftruncate64)(file, length);
}
