/* fuzz_dialogue.c - transcripts, read back and as attempts report them */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "queue/dialogue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static size_t told;

static void check_text(const char *s)
{
  for (; *s; s++)
    if (*s < 32 || *s > 126)
      abort();
}

static int on_attempt(void *arg, const struct dialogue_attempt *a)
{
  (void)arg;
  if (strcmp(a->id, "0abcdefghjkmn17") != 0 || a->number > 65535)
    abort();
  check_text(a->nexthop);
  return 0;
}

static int on_line(void *arg, const struct dialogue_line *l)
{
  (void)arg;
  check_text(l->text);
  told++;
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  static const char head[] = "= 0abcdefghjkmn17 1 1 x\n";
  const struct dialogue_reader r = {on_attempt, on_line, NULL};
  int is_fine = dialogue_check((const char *)data, len) == 0;
  char *record = malloc(sizeof head + len);
  size_t lines = 0;

  if (!record)
    return 0;
  memcpy(record, head, sizeof head - 1);
  if (len > 0)
    memcpy(record + sizeof head - 1, data, len);
  for (size_t i = 0; i < len; i++)
    lines += data[i] == '\n';
  told = 0;
  dialogue_each(record, sizeof head - 1 + len, "0abcdefghjkmn17", &r);
  if (is_fine && told != lines) /* what is taken is shown */
    abort();
  free(record);
  return 0;
}
