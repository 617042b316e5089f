/* fuzz_journal.c - any bytes are read as a segment within its bounds, in order, without overlap;
 * what is read is proved by its sums */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "queue/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct journal_segment fixed = {3, 0x5eed5eed5eed5eed, 65536};

struct reading {
  const char *buf;
  size_t len, end, lost; /* so far */
  const struct journal_segment *s;
};

static void on_record(void *arg, const struct journal_record *r, size_t at)
{
  struct reading *g = arg;
  struct journal_record again;

  if (at % 8 != 0 || at < g->end || at > g->len || g->len - at < JOURNAL_RECORD + (size_t)r->len ||
      r->id[STORE_ID_LEN] != 0 || g->lost != 0 ||
      journal_record_read(g->buf + at, g->len - at, g->s, &again) != 1 || again.len != r->len)
    abort();
  g->end = at + journal_record_size(r->len);
}

static void on_lost(void *arg, size_t from, size_t to)
{
  struct reading *g = arg;

  if (from < JOURNAL_HEAD || from >= to || to > g->len || from < g->lost)
    abort();
  g->lost = to;
}

static void parse(const char *buf, size_t len, const struct journal_segment *s)
{
  struct reading g = {buf, len, JOURNAL_HEAD, 0, s};
  const struct journal_reader r = {on_record, on_lost, &g};

  if (journal_parse(buf, len, s, &r) != g.end)
    abort();
}

/* what looks like a record gets true sums, so that its fields are reached */
static void mend(char *buf, size_t len)
{
  for (size_t at = JOURNAL_HEAD; len >= JOURNAL_RECORD && at <= len - JOURNAL_RECORD; at += 8) {
    struct journal_record r = {.len = 0};
    char head[JOURNAL_RECORD];
    struct iovec v = {buf + at + JOURNAL_RECORD, 0};
    uint32_t n;
    if (memcmp(buf + at, "hlj", 3) != 0)
      continue;
    memcpy(&n, buf + at + 4, sizeof n);
    r.type = (enum journal_type)buf[at + 3];
    r.len = n;
    memcpy(&r.flushed, buf + at + 8, sizeof r.flushed);
    memcpy(r.id, buf + at + 16, STORE_ID_LEN);
    v.iov_len = r.len <= len - at - JOURNAL_RECORD ? r.len : 0;
    journal_record_make(head, &fixed, &r, &v, 1);
    memcpy(buf + at, head, sizeof head);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  struct journal_segment s = fixed;
  size_t size = JOURNAL_HEAD + len;
  char *buf = malloc(size);

  if (!buf)
    return 0;
  /* a head is tried where there are enough bytes for one, and the records begin anew */
  if (len >= JOURNAL_HEAD && journal_head_read((const char *)data, &s) == 0 && s.epoch == 0)
    abort();
  memset(buf, 0, JOURNAL_HEAD);
  memcpy(buf + JOURNAL_HEAD, data, len);
  parse(buf, size, &fixed);
  mend(buf, size);
  parse(buf, size, &fixed);
  free(buf);
  return 0;
}
