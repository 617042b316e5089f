/* write.h - writing all of it, however little is taken at once */
#ifndef COMMON_WRITE_H
#define COMMON_WRITE_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#define WRITE_HERE ((off_t)-1)

/* 0, or -1 with errno: ENOSPC also when nothing is taken and no error said */
int write_all(int fd, const char *s, size_t len);
/* the same for n pieces, at an offset or WRITE_HERE; changes v */
int write_pieces(int fd, struct iovec *v, int n, off_t at);

#endif
