/* journal.c - the journal's form on disk: segments of records, made and taken apart
 *
 * Pure. A segment is hostile: a disk may lie, and mail lies in it. */
#include "queue/journal.h"

#include <endian.h>
#include <string.h>

#define XXH_STATIC_LINKING_ONLY /* for the state's size: no allocation here */
#include <xxhash.h>

#define HEAD_SUMMED 40 /* of a segment's head, the part before its sum */
#define RECORD_SUMMED 40
#define LOST_MAX 64 /* stretches that are told apart; what is lost beyond them counts as the last */

static const char segment_magic[16] = "heloise-journal\n";
static const char record_magic[3] = {'h', 'l', 'j'};

static void put64(char *out, uint64_t v)
{
  v = htole64(v);
  memcpy(out, &v, sizeof v);
}

static void put32(char *out, uint32_t v)
{
  v = htole32(v);
  memcpy(out, &v, sizeof v);
}

static uint64_t get64(const char *s)
{
  uint64_t v;

  memcpy(&v, s, sizeof v);
  return le64toh(v);
}

static uint32_t get32(const char *s)
{
  uint32_t v;

  memcpy(&v, s, sizeof v);
  return le32toh(v);
}

/* ---- a segment's head: all of it in one sector, so that a power cut never tears it */

void journal_head_make(char head[JOURNAL_HEAD], const struct journal_segment *s)
{
  memset(head, 0, JOURNAL_HEAD);
  memcpy(head, segment_magic, sizeof segment_magic);
  put64(head + 16, s->epoch);
  put64(head + 24, s->salt);
  put64(head + 32, s->size);
  put64(head + HEAD_SUMMED, XXH3_64bits(head, HEAD_SUMMED));
}

int journal_head_read(const char head[JOURNAL_HEAD], struct journal_segment *s)
{
  if (memcmp(head, segment_magic, sizeof segment_magic) != 0 ||
      get64(head + HEAD_SUMMED) != XXH3_64bits(head, HEAD_SUMMED))
    return -1;
  s->epoch = get64(head + 16);
  s->salt = get64(head + 24);
  s->size = get64(head + 32);
  return s->epoch > 0 ? 0 : -1;
}

/* ---- records: magic, type, length, flushed, id, sum of the payload, sum of all that */

size_t journal_record_size(size_t len)
{
  return (JOURNAL_RECORD + len + 7) & ~(size_t)7;
}

static uint64_t head_sum(const char *head, const struct journal_segment *s)
{
  return XXH3_64bits_withSeed(head, RECORD_SUMMED, s->salt);
}

void journal_record_make(char out[JOURNAL_RECORD], const struct journal_segment *s,
                         const struct journal_record *r, const struct iovec *piece, int n)
{
  XXH3_state_t x;

  memcpy(out, record_magic, sizeof record_magic);
  out[3] = (char)r->type;
  put32(out + 4, r->len);
  put32(out + 8, r->flushed);
  put32(out + 12, 0);
  memcpy(out + 16, r->id, STORE_ID_LEN);
  out[31] = 0;
  XXH3_INITSTATE(&x); /* or a seed left on the stack would pass for one whose secret is made */
  XXH3_64bits_reset_withSeed(&x, s->salt);
  for (int i = 0; i < n; i++)
    XXH3_64bits_update(&x, piece[i].iov_base, piece[i].iov_len);
  put64(out + 32, XXH3_64bits_digest(&x));
  put64(out + RECORD_SUMMED, head_sum(out, s));
}

int journal_record_read(const char *buf, size_t len, const struct journal_segment *s,
                        struct journal_record *r)
{
  if (len < JOURNAL_RECORD || memcmp(buf, record_magic, sizeof record_magic) != 0 ||
      get64(buf + RECORD_SUMMED) != head_sum(buf, s))
    return -1;
  r->type = (enum journal_type)buf[3];
  r->len = get32(buf + 4);
  r->flushed = get32(buf + 8);
  memcpy(r->id, buf + 16, sizeof r->id);
  if ((r->type != JOURNAL_MESSAGE && r->type != JOURNAL_DONE && r->type != JOURNAL_FILED) ||
      r->len > len - JOURNAL_RECORD || r->id[STORE_ID_LEN] || !store_is_id(r->id, STORE_ID_LEN))
    return -1;
  return XXH3_64bits_withSeed(buf + JOURNAL_RECORD, r->len, s->salt) == get64(buf + 32);
}

/* ---- a whole segment */

/* what was passed over between records */
struct gaps {
  size_t n, from[LOST_MAX], to[LOST_MAX];
};

static void add_gap(struct gaps *g, size_t from, size_t to)
{
  if (from >= to)
    return;
  if (g->n == LOST_MAX)
    g->n--;
  else
    g->from[g->n] = from;
  g->to[g->n++] = to;
}

/* a gap is a torn tail unless a later record says that it was durable once */
static void tell_lost(const struct gaps *g, size_t flushed, const struct journal_reader *r)
{
  for (size_t i = 0; r->lost && i < g->n; i++)
    if (g->from[i] < flushed)
      r->lost(r->arg, g->from[i], g->to[i]);
}

size_t journal_parse(const char *buf, size_t len, const struct journal_segment *s,
                     const struct journal_reader *r)
{
  size_t at = JOURNAL_HEAD, end = at, flushed = 0;
  struct gaps gaps;

  gaps.n = 0;
  while (at < len && len - at >= JOURNAL_RECORD) {
    struct journal_record found;
    int is = journal_record_read(buf + at, len - at, s, &found);
    if (is < 0) {
      at += 8;
      continue;
    }
    flushed = found.flushed > flushed ? found.flushed : flushed;
    if (is > 0) {
      add_gap(&gaps, end, at);
      r->record(r->arg, &found, at);
      end = at + journal_record_size(found.len);
    }
    at += journal_record_size(found.len); /* nothing else was written there in this epoch */
  }
  add_gap(&gaps, end, len);
  tell_lost(&gaps, flushed, r);
  return end;
}
