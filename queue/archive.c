/* archive.c - messages in a file, to be moved to another host
 *
 * Runs in the command that writes one and in a child of the manager that takes one in. Pure. */
#include "queue/archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "common/units.h"

#define MAGIC "heloise-archive 1 "
#define LENGTH_MAX (UINT64_MAX / 4)

static const char no_archive[] = "not an archive of heloise queue export";

/* ---- making */

static int put(stralloc *out, const char *line)
{
  return stralloc_copys(out, line) ? 0 : -1;
}

int archive_head(stralloc *out, const char *hostname, uint64_t now)
{
  char line[ARCHIVE_LINE];

  snprintf(line, sizeof line, MAGIC "%.255s %llu\n", hostname, (unsigned long long)now);
  return put(out, line);
}

int archive_message(stralloc *out, const struct store_name *n, uint64_t len)
{
  char line[ARCHIVE_LINE];

  snprintf(line, sizeof line, "m %s %s %08x %llu\n", n->id, store_state_word(n->state),
           (unsigned int)n->next, (unsigned long long)len);
  return put(out, line);
}

int archive_transcript(stralloc *out, const char *id, uint64_t len)
{
  char line[ARCHIVE_LINE];

  snprintf(line, sizeof line, "t %s %llu\n", id, (unsigned long long)len);
  return put(out, line);
}

int archive_sum(stralloc *out, uint64_t sum)
{
  char line[ARCHIVE_LINE];

  snprintf(line, sizeof line, "= %016llx\n", (unsigned long long)sum);
  return put(out, line);
}

/* ---- reading */

enum expect { EXPECT_HEAD, EXPECT_RECORD, EXPECT_DATA, EXPECT_SUM, EXPECT_NOTHING };

struct archive_reader {
  const struct archive_ops *ops;
  void *arg;
  enum expect expect;
  struct archive_record record;
  uint64_t left, records;
  XXH3_state_t *all, *own; /* of the file, of the record */
  size_t len;
  char line[ARCHIVE_LINE];
};

struct archive_reader *archive_open(const struct archive_ops *ops, void *arg)
{
  struct archive_reader *r = calloc(1, sizeof *r);

  if (!r)
    return NULL;
  r->ops = ops;
  r->arg = arg;
  r->all = XXH3_createState();
  r->own = XXH3_createState();
  if (r->all && r->own && XXH3_64bits_reset(r->all) == XXH_OK)
    return r;
  archive_close(r);
  return NULL;
}

void archive_close(struct archive_reader *r)
{
  if (!r)
    return;
  XXH3_freeState(r->all);
  XXH3_freeState(r->own);
  free(r);
}

/* cuts the word before the next space off *s, the last one at the end; NULL when it is empty */
static char *word(char **s)
{
  char *w = *s, *space = strchr(w, ' ');

  if (space) {
    *space = 0;
    *s = space + 1;
  } else {
    *s = w + strlen(w);
  }
  return *w ? w : NULL;
}

/* exactly `digits` lower-case hexadecimal digits */
static int hex(const char *s, size_t digits, uint64_t *v)
{
  if (strlen(s) != digits || strspn(s, "0123456789abcdef") != digits)
    return -1;
  *v = strtoull(s, NULL, 16);
  return 0;
}

static int read_state(const char *s, enum store_state *state)
{
  for (int i = 0; i < STORE_STATES; i++)
    if (strcmp(store_state_word((enum store_state)i), s) == 0) {
      *state = (enum store_state)i;
      return 0;
    }
  return -1;
}

static int read_id(const char *s, struct store_name *n)
{
  if (!s || !store_is_id(s, strlen(s)))
    return -1;
  memcpy(n->id, s, sizeof n->id);
  return 0;
}

static int read_length(const char *s, uint64_t *len)
{
  return s && units_number(s, strlen(s), len) == 0 && *len > 0 && *len <= LENGTH_MAX ? 0 : -1;
}

static int begin(struct archive_reader *r, const char **why)
{
  r->left = r->record.len;
  r->expect = EXPECT_DATA;
  *why = NULL;
  return r->ops->begin(r->arg, &r->record);
}

static int on_message(struct archive_reader *r, char *s, const char **why)
{
  const char *id = word(&s), *state = word(&s), *next = word(&s), *len = word(&s);
  uint64_t v;

  *why = "a message's line is malformed";
  if (read_id(id, &r->record.name) != 0 || !state || read_state(state, &r->record.name.state) != 0 ||
      !next || hex(next, 8, &v) != 0 || read_length(len, &r->record.len) != 0 || *s)
    return -1;
  r->record.name.next = r->record.name.state == STORE_NEW ? 0 : (uint32_t)v;
  return begin(r, why);
}

static int on_transcript(struct archive_reader *r, char *s, const char **why)
{
  const char *id = word(&s), *len = word(&s);

  *why = "a transcript's line is malformed";
  if (read_id(id, &r->record.name) != 0 || read_length(len, &r->record.len) != 0 || *s)
    return -1;
  return begin(r, why);
}

static int on_end(struct archive_reader *r, char *s, uint64_t sum, const char **why)
{
  const char *records = word(&s), *is = word(&s);
  uint64_t n, v;

  *why = "the end's line is malformed";
  if (!records || units_number(records, strlen(records), &n) != 0 || !is || hex(is, 16, &v) != 0 || *s)
    return -1;
  *why = "its end does not fit the rest: something was changed or taken out";
  r->expect = EXPECT_NOTHING;
  return n == r->records && v == sum ? 0 : -1;
}

/* a record's line, or the end's; sum: of all before it */
static int on_record(struct archive_reader *r, char *s, uint64_t sum, const char **why)
{
  memset(&r->record, 0, sizeof r->record);
  r->record.kind = s[0];
  *why = "neither a message nor the end where one should be";
  if (s[0] == 0 || s[1] != ' ')
    return -1;
  switch (s[0]) {
  case 'm':
    return on_message(r, s + 2, why);
  case 't':
    return on_transcript(r, s + 2, why);
  case 'e':
    return on_end(r, s + 2, sum, why);
  default:
    return -1;
  }
}

static int on_sum(struct archive_reader *r, const char *s, const char **why)
{
  uint64_t v;

  *why = "a checksum's line is malformed";
  if (s[0] != '=' || s[1] != ' ' || hex(s + 2, 16, &v) != 0)
    return -1;
  r->records++;
  r->expect = EXPECT_RECORD;
  *why = NULL;
  return r->ops->end(r->arg, XXH3_64bits_digest(r->own) == v);
}

static int on_head(struct archive_reader *r, const char *s, const char **why)
{
  *why = no_archive;
  r->expect = EXPECT_RECORD;
  return strncmp(s, MAGIC, strlen(MAGIC)) == 0 ? 0 : -1;
}

/* r->line holds a line with its line feed */
static int on_line(struct archive_reader *r, const char **why)
{
  uint64_t before = XXH3_64bits_digest(r->all);

  XXH3_64bits_update(r->all, r->line, r->len);
  if (r->expect == EXPECT_RECORD) {
    XXH3_64bits_reset(r->own);
    XXH3_64bits_update(r->own, r->line, r->len);
  }
  r->line[r->len - 1] = 0;
  *why = r->expect == EXPECT_HEAD ? no_archive : "a line holds a NUL byte";
  if (strlen(r->line) != r->len - 1)
    return -1;
  r->len = 0;
  switch (r->expect) {
  case EXPECT_HEAD:
    return on_head(r, r->line, why);
  case EXPECT_RECORD:
    return on_record(r, r->line, before, why);
  default:
    return on_sum(r, r->line, why);
  }
}

/* takes as much of s as belongs together: how much, or -1 */
static long take(struct archive_reader *r, const char *s, size_t len, const char **why)
{
  const char *nl;
  size_t n;

  if (r->expect == EXPECT_DATA) {
    n = len < r->left ? len : (size_t)r->left;
    XXH3_64bits_update(r->all, s, n);
    XXH3_64bits_update(r->own, s, n);
    r->left -= n;
    if (r->left == 0)
      r->expect = EXPECT_SUM;
    *why = NULL;
    return r->ops->data(r->arg, s, n) == 0 ? (long)n : -1;
  }
  *why = "something follows its end";
  if (r->expect == EXPECT_NOTHING)
    return -1;
  nl = memchr(s, '\n', len);
  n = nl ? (size_t)(nl + 1 - s) : len;
  *why = r->expect == EXPECT_HEAD ? no_archive : "a line is too long";
  if (r->len + n > sizeof r->line)
    return -1;
  memcpy(r->line + r->len, s, n);
  r->len += n;
  return !nl || on_line(r, why) == 0 ? (long)n : -1;
}

int archive_feed(struct archive_reader *r, const char *s, size_t len, const char **why)
{
  while (len > 0) {
    long n = take(r, s, len, why);
    if (n < 0)
      return -1;
    s += n;
    len -= (size_t)n;
  }
  *why = NULL;
  return 0;
}

int archive_finish(const struct archive_reader *r, const char **why)
{
  *why = r->expect == EXPECT_HEAD ? no_archive
                                  : "it ends too early: the rest is missing";
  return r->expect == EXPECT_NOTHING ? 0 : -1;
}

int archive_tail(const struct archive_reader *r, stralloc *out)
{
  char line[ARCHIVE_LINE];

  snprintf(line, sizeof line, "e %llu %016llx\n", (unsigned long long)r->records,
           (unsigned long long)XXH3_64bits_digest(r->all));
  return put(out, line);
}
