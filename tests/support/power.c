/* A disk that loses power: preloaded into a process, it keeps of every file under TIPOFF_DISK what
 * was there when it was last synced, and of the folder the names of its last sync. What a loss of
 * power leaves at worst is exactly that.
 *
 * TIPOFF_SHADOW/inodes/<n>   content of file n when it was last synced
 * TIPOFF_SHADOW/names        "<n> <name>" a line, when the folder was last synced
 * TIPOFF_SHADOW/full         while it is there, writes fail as on a full disk, after a part
 * TIPOFF_SHADOW/broken       while it is there, syncs fail
 * TIPOFF_SHADOW/stuck        while it is there, syncs do not return
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int on_disk(int fd) {
    const char* root = getenv("TIPOFF_DISK");
    char link[64], path[PATH_MAX];
    if (!root) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return strncmp(path, root, strlen(root)) == 0;
}

static int told(const char* what) {
    const char* shadow = getenv("TIPOFF_SHADOW");
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", shadow ? shadow : "", what);
    return shadow && access(path, F_OK) == 0;
}

static void replace(const char* part, const char* path) {
    syscall(SYS_rename, part, path);
}

static void keep_file(int fd, ino_t inode) {
    char path[PATH_MAX], part[PATH_MAX + 8], buffer[1 << 16];
    snprintf(path, sizeof path, "%s/inodes/%lu", getenv("TIPOFF_SHADOW"), (unsigned long)inode);
    snprintf(part, sizeof part, "%s.%ld", path, (long)syscall(SYS_gettid));
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    int in = open(self, O_RDONLY);
    int out = open(part, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ssize_t size;
    while ((size = read(in, buffer, sizeof buffer)) > 0) syscall(SYS_write, out, buffer, size);
    close(in);
    close(out);
    replace(part, path);
}

static void keep_names(int fd) {
    char folder[64], path[PATH_MAX], part[PATH_MAX + 8];
    snprintf(folder, sizeof folder, "/proc/self/fd/%d", fd);
    snprintf(path, sizeof path, "%s/names", getenv("TIPOFF_SHADOW"));
    snprintf(part, sizeof part, "%s.%ld", path, (long)syscall(SYS_gettid));
    DIR* entries = opendir(folder);
    FILE* out = fopen(part, "w");
    struct dirent* entry;
    while (entries && (entry = readdir(entries)))
        if (entry->d_type == DT_REG)
            fprintf(out, "%lu %s\n", (unsigned long)entry->d_ino, entry->d_name);
    if (entries) closedir(entries);
    fclose(out);
    replace(part, path);
}

static int sync_with(int fd, int result) {
    if (!on_disk(fd)) return result;
    if (told("broken")) {
        errno = EIO;
        return -1;
    }
    while (told("stuck")) usleep(10000);
    struct stat what;
    if (result == 0 && fstat(fd, &what) == 0) {
        if (S_ISDIR(what.st_mode)) {
            keep_names(fd);
        } else {
            keep_file(fd, what.st_ino);
        }
    }
    return result;
}

int fsync(int fd) { return sync_with(fd, (int)syscall(SYS_fsync, fd)); }

int fdatasync(int fd) { return sync_with(fd, (int)syscall(SYS_fdatasync, fd)); }

static ssize_t put(int fd, const void* data, size_t size, off_t at) {
    if (on_disk(fd) && told("full")) {
        if (size > 512) return (ssize_t)syscall(SYS_pwrite64, fd, data, 512, at);
        errno = ENOSPC;
        return -1;
    }
    return (ssize_t)syscall(SYS_pwrite64, fd, data, size, at);
}

ssize_t pwrite(int fd, const void* data, size_t size, off_t at) { return put(fd, data, size, at); }

ssize_t pwrite64(int fd, const void* data, size_t size, off_t at) {
    return put(fd, data, size, at);
}
