/* fuzz_archive.c - an archive is read alike in pieces of every size, and never beyond what it says */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "queue/archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct seen {
  uint64_t left, hash, records;
  int is_open;
};

static void mix(struct seen *s, const void *p, size_t len)
{
  s->hash = XXH3_64bits_withSeed(p, len, s->hash);
}

static int on_begin(void *arg, const struct archive_record *r)
{
  struct seen *s = arg;

  if (s->is_open || r->len == 0 || !store_is_id(r->name.id, strlen(r->name.id)) || (r->kind != 'm' && r->kind != 't'))
    abort();
  s->is_open = 1;
  s->left = r->len;
  s->records++;
  mix(s, r->name.id, STORE_ID_LEN);
  mix(s, &r->name.next, sizeof r->name.next);
  mix(s, &r->name.state, sizeof r->name.state);
  return 0;
}

static int on_data(void *arg, const char *text, size_t len)
{
  struct seen *s = arg;

  if (!s->is_open || len == 0 || len > s->left)
    abort();
  s->left -= len;
  for (size_t i = 0; i < len; i++)
    s->hash = s->hash * 31 + (unsigned char)text[i];
  return 0;
}

static int on_end(void *arg, int is_whole)
{
  struct seen *s = arg;

  if (!s->is_open || s->left > 0)
    abort();
  s->is_open = 0;
  mix(s, &is_whole, sizeof is_whole);
  return 0;
}

static int read_in(const uint8_t *data, size_t len, size_t piece, struct seen *s)
{
  static const struct archive_ops ops = {on_begin, on_data, on_end};
  struct archive_reader *r = archive_open(&ops, s);
  const char *why;
  int bad = 0;

  for (size_t at = 0; bad == 0 && at < len; at += piece)
    bad = archive_feed(r, (const char *)data + at, len - at < piece ? len - at : piece, &why);
  if (bad == 0)
    bad = archive_finish(r, &why);
  if (bad && !why)
    abort();
  archive_close(r);
  return bad;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  struct seen whole = {0}, pieces = {0};
  int a = read_in(data, len, len ? len : 1, &whole), b = read_in(data, len, 7, &pieces);

  if (a != b || whole.hash != pieces.hash || whole.records != pieces.records || whole.left != pieces.left)
    abort();
  return 0;
}
