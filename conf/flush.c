/* flush.c - new directories, made durable
 *
 * Runs in `heloise`, as the caller. */
#include "conf/flush.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int flush_parent(int dirfd)
{
  int fd = openat(dirfd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r, e;

  if (fd < 0) /* one that we may write but not read, such as /home in places */
    return errno == EACCES ? syncfs(dirfd) : -1;
  r = fsync(fd);
  e = errno;
  close(fd);
  errno = e;
  return r;
}

int flush_new_dir(const char *path)
{
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r, e;

  if (fd < 0)
    return -1;
  r = fsync(fd) == 0 ? flush_parent(fd) : -1;
  e = errno;
  close(fd);
  errno = e;
  return r;
}
