/* fuzz_history.c - any bytes after the end mark are read, and appended to, within the bound;
 * what is appended can be read, whatever was cut off before it */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "queue/history.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int tell(void *arg, const struct history_line *l)
{
  if (l->n > HISTORY_FIELDS || !strchr("slor", l->kind) || l->attempt > 65535)
    abort();
  for (size_t i = 0; i < HISTORY_FIELDS; i++)
    for (const char *s = l->field[i]; *s; s++)
      if (*s < 32 || *s == 127)
        abort();
  ++*(size_t *)arg;
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  static int fd = -1;
  static stralloc line;
  struct envelope e = {.history_at = 10};
  const char *field[1];
  size_t before = 0, after = 0;
  char *text = malloc(len + 1);

  if (fd < 0)
    fd = memfd_create("history", 0);
  if (!text || ftruncate(fd, 0) != 0 || pwrite(fd, data, len, e.history_at) != (ssize_t)len)
    abort();
  history_each(fd, &e, tell, &before);
  memcpy(text, data, len);
  text[len] = 0;
  field[0] = text;
  line.len = 0;
  if (history_line_make(&line, 's', 1, 1, field, 1) != 0)
    abort();
  if (len > 0 && history_append(fd, &e, &line) != 0)
    abort();
  history_each(fd, &e, tell, &after);
  if (lseek(fd, 0, SEEK_END) > e.history_at + HISTORY_MAX || (len > 0 && len < HISTORY_MAX / 2 && after <= before))
    abort();
  free(text);
  return 0;
}
