/* pastclock.c - how earlier runs saw the wall clock being set
 *
 * Runs in the manager. */
#include "queue/pastclock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

#define STEPS 64 /* that are kept */
#define LEAST 60 /* seconds: smaller ones matter to no message's life */
#define LINE 48
#define MOST 1000000000000LL /* seconds: no clock was ever so wrong */

static const char file[] = "clock";

static struct step {
  uint64_t wall;
  int64_t by;
} step[STEPS]; /* oldest first */
static size_t steps, seen_before; /* all; those of earlier runs */
static int queue_fd = -1;

static void add(uint64_t wall, int64_t by)
{
  if (steps == STEPS) {
    memmove(step, step + 1, (STEPS - 1) * sizeof *step);
    steps--;
    seen_before -= seen_before > 0;
  }
  step[steps++] = (struct step){wall, by};
}

/* "WALL BY" */
static void take_line(const char *line)
{
  char *end;
  unsigned long long wall = strtoull(line, &end, 10);
  long long by;

  if (end == line || *end != ' ' || wall > MOST)
    return;
  by = strtoll(end + 1, &end, 10);
  if (*end == 0 && by >= -MOST && by <= MOST)
    add(wall, by);
}

void pastclock_open(int fd)
{
  char text[STEPS * LINE + 1], *save = NULL;
  int from = openat(fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  ssize_t n = from < 0 ? -1 : pread(from, text, sizeof text - 1, 0);

  if (from >= 0)
    close(from);
  queue_fd = fd;
  steps = 0;
  text[n > 0 ? n : 0] = 0;
  for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
    take_line(line);
  seen_before = steps;
}

/* one that is torn by a power cut says less, and what it says is true */
static int write_all(void)
{
  char text[STEPS * LINE];
  size_t len = 0;
  int fd = openat(queue_fd, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600), r;

  for (size_t i = 0; i < steps; i++)
    len += (size_t)snprintf(text + len, LINE, "%llu %lld\n", (unsigned long long)step[i].wall,
                            (long long)step[i].by);
  if (fd < 0)
    return -1;
  errno = ENOSPC; /* what a short write means */
  r = write(fd, text, len) == (ssize_t)len && fdatasync(fd) == 0 ? 0 : -1;
  close(fd);
  return r;
}

void pastclock_note(uint64_t wall, int64_t by)
{
  if (by > -LEAST && by < LEAST)
    return;
  add(wall, by);
  if (write_all() != 0)
    log_failed("queue", file, strerror(errno));
}

/* a step forward concerns what was written before it, a step back what lies in a future that is over */
int64_t pastclock_skew(uint64_t written, uint64_t now)
{
  int64_t t = (int64_t)written;

  for (size_t i = 0; i < seen_before; i++) {
    int is_meant = step[i].by > 0 ? (uint64_t)t <= step[i].wall : t > (int64_t)now;
    if (is_meant && t + step[i].by >= 0)
      t += step[i].by;
  }
  return t - (int64_t)written;
}
