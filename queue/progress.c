/* progress.c - how far a command has come: a bar on standard error, if that is a terminal */
#include "queue/progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define AFTER_MS 2000
#define EVERY_MS 200
#define BAR 40

static uint64_t began, shown;
static int is_there;

static uint64_t clock_ms(void)
{
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void draw(uint64_t done, uint64_t total)
{
  char bar[BAR + 1];
  unsigned int filled;

  if (total < done || total == 0) {
    fprintf(stderr, "\r%llu ", (unsigned long long)done);
    return;
  }
  filled = (unsigned int)(done * BAR / total);
  for (unsigned int i = 0; i < BAR; i++)
    bar[i] = i < filled ? '#' : '.';
  bar[BAR] = 0;
  fprintf(stderr, "\r[%s] %3u%%  %llu of %llu ", bar, (unsigned int)(done * 100 / total),
          (unsigned long long)done, (unsigned long long)total);
}

void progress_show(uint64_t done, uint64_t total)
{
  static int is_terminal = -1;
  uint64_t t;

  if (is_terminal < 0) {
    is_terminal = isatty(STDERR_FILENO);
    began = clock_ms();
  }
  if (!is_terminal)
    return;
  t = clock_ms();
  if (t - began < AFTER_MS || t - shown < EVERY_MS)
    return;
  shown = t;
  is_there = 1;
  draw(done, total);
}

void progress_clear(void)
{
  if (!is_there)
    return;
  is_there = 0;
  fputs("\r\033[K", stderr);
}
