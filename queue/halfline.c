/* halfline.c - files of lines that are appended to: what a kill or a full disk left of one
 *
 * Runs where the queue's files are written: user hlqueue. */
#include "queue/halfline.h"

#include <unistd.h>

off_t halfline_end(int fd, off_t end)
{
  char last;

  if (end <= 0)
    return end;
  if (pread(fd, &last, 1, end - 1) != 1)
    return -1;
  if (last == '\n')
    return end;
  return pwrite(fd, "\n", 1, end) == 1 ? end + 1 : -1;
}
