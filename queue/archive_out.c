/* archive_out.c - messages of the queue as records of an archive
 *
 * Runs in a child of the manager, or in the command while nothing runs. */
#include "queue/archive_out.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "common/verdict.h"
#include "queue/archive.h"
#include "queue/sight.h"
#include "queue/transcript.h"

#define CHUNK 32000

/* a record is its line, bytes of a file, bytes of memory, and the sum of all */
struct record {
  const stralloc *line;
  int fd;
  uint64_t len;
  const char *tail;
  size_t tail_len;
};

static int print_summed(const struct inspect_view *v, XXH3_state_t *x, const char *s, size_t len)
{
  XXH3_64bits_update(x, s, len);
  return v->print(v->arg, s, len, 0);
}

static int print_file(const struct inspect_view *v, XXH3_state_t *x, const struct record *rec)
{
  static char buf[CHUNK];
  uint64_t left = rec->len;
  off_t at = 0;

  while (left > 0) {
    ssize_t n = pread(rec->fd, buf, left < CHUNK ? (size_t)left : CHUNK, at);
    if (n <= 0 || print_summed(v, x, buf, (size_t)n) != 0)
      return -1;
    at += n;
    left -= (uint64_t)n;
  }
  return 0;
}

/* 0; -1: it cannot be read to its end, or nobody reads */
static int print_record(const struct inspect_view *v, const struct record *rec)
{
  static stralloc sum;
  XXH3_state_t *x = XXH3_createState();
  int r = -1;

  if (x && XXH3_64bits_reset(x) == XXH_OK && print_summed(v, x, rec->line->s, rec->line->len) == 0 &&
      print_file(v, x, rec) == 0 && print_summed(v, x, rec->tail, rec->tail_len) == 0 &&
      archive_sum(&sum, XXH3_64bits_digest(x)) == 0)
    r = v->print(v->arg, sum.s, sum.len, 0);
  XXH3_freeState(x);
  return r;
}

/* a message's history may grow, or lose its older half, while it is copied: it comes from memory */
static int print_message(const struct sight *s, const char *state)
{
  static stralloc line;
  static char history[HISTORY_MAX];
  struct store_name told = s->m->name;
  ssize_t n = pread(s->fd, history, sizeof history, s->e.history_at);
  struct record rec = {&line, s->fd, (uint64_t)s->e.history_at, history, n > 0 ? (size_t)n : 0};

  if (strcmp(state, "cur") == 0)
    told.state = STORE_CUR;
  if (archive_message(&line, &told, rec.len + rec.tail_len) != 0)
    return -1;
  return print_record(s->v, &rec);
}

static int print_transcript(const struct inspect_view *v, const char *id)
{
  static stralloc line;
  int fd = transcript_open(v->queue_fd, id), r = 0;
  struct stat st;

  if (fd < 0)
    return 0;
  if (fstat(fd, &st) == 0 && st.st_size > 0 && st.st_size <= TRANSCRIPT_OWN_MAX &&
      archive_transcript(&line, id, (uint64_t)st.st_size) == 0)
    r = print_record(v, &(struct record){&line, fd, (uint64_t)st.st_size, "", 0});
  close(fd);
  return r;
}

/* 0; -1: nobody reads; EXIT_DATA after a complaint */
static int fetch_one(const struct inspect_view *v, const char *id, const char *state)
{
  struct inspect_message m;
  struct sight s;
  const char *why;
  int r;

  if (v->find(id, &m) != 0)
    return 0;
  r = sight_open(&s, v, &m, &why);
  if (r == 0 && envelope_verify(s.fd, &s.e, &why) != 0) {
    sight_close(&s);
    r = -1;
  }
  if (r != 0) {
    inspect_say(v, 1, "heloise: message %s: %s\n", id, why);
    return EXIT_DATA;
  }
  r = print_message(&s, state);
  sight_close(&s);
  return r == 0 ? print_transcript(v, id) : r;
}

int archive_fetch(const struct inspect_view *v, const struct request *q)
{
  int code = EXIT_OK, r = 0;

  for (size_t i = 0; r >= 0 && i < q->args; i++)
    for (const char *s = q->arg[i]; r >= 0 && *s; s += *s == ' ') {
      char id[STORE_ID_LEN + 8], *colon;
      size_t len = strcspn(s, " ");
      snprintf(id, sizeof id, "%.*s", (int)len, s);
      colon = strchr(id, ':');
      if (colon)
        *colon = 0;
      r = fetch_one(v, id, colon ? colon + 1 : "");
      code = r > 0 ? r : code;
      s += len;
    }
  return r < 0 ? EXIT_IOERR : code;
}
