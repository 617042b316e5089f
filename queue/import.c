/* import.c - messages of an archive are taken into the queue
 *
 * Runs in a child of the manager and, while it is down, in the command under the instance's lock.
 * An archive is hostile: each message is gathered in tmp/, where it is checked as any file of the
 * queue is before it is worked on, and gets its name when it is whole and flushed. A group is
 * flushed at once. One import is at work at a time. An id that is in the queue is never taken again.
 * One that the journal says is done with would be cleared away at the next start: such a message gets
 * another one, which depends on its own alone, so that a second import finds it. */
#include "queue/import.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/json.h"
#include "common/settings.h"
#include "common/verdict.h"
#include "common/write.h"
#include "queue/archive.h"
#include "queue/envelope.h"
#include "queue/import_fault.h"
#include "queue/journal_read.h"
#include "queue/sight.h"
#include "queue/store_flight.h"
#include "queue/transcript.h"

#define GROUP 100
#define GROUP_BYTES (64 * 1024 * 1024)
#define COMPLAINTS_MAX 20 /* told; more are counted */
#define OTHER_IDS 8       /* that are tried for a message which cannot keep its own */
#define SIZE_MAX_OWN ((uint64_t)ENVELOPE_MAX + INT32_MAX) /* of a message */

struct member {
  struct store_name name;
  int fd; /* of tmp/ID */
  int error;
  stralloc transcript; /* bound: TRANSCRIPT_OWN_MAX */
};

struct import {
  const struct inspect_view *v;
  void (*adopted)(void *arg, const struct store_name *n);
  void *arg;
  struct archive_reader *reader;
  int json, lock;
  struct member group[GROUP];
  size_t n;         /* of group, the one being received not counted */
  uint64_t bytes;   /* of group */
  struct archive_record record;
  int fd;           /* of the message being received; -1: it is passed over */
  char last[STORE_ID_LEN + 1]; /* the message that a transcript may belong to; "" : none */
  stralloc transcript;
  void *retired; /* tree of the ids that the journal says are done with; bound: its size */
  unsigned long imported, known, refused, renamed;
  int error;        /* the queue cannot be written: nothing more is taken */
  const char *why;  /* the archive is damaged */
};

/* ---- what is said */

static void complain(struct import *in, const char *id, const char *why)
{
  if (in->refused++ < COMPLAINTS_MAX)
    inspect_say(in->v, 1, "heloise: message %s is not taken: %s\n", id, why);
}

/* ---- what is there already */

/* whether two files are one message: their sums are compared */
static int is_alike(int one, int two)
{
  struct envelope a, b;
  const char *why;
  int same = 0;

  if (envelope_read(one, &a, &why) != 0)
    return 0;
  if (envelope_read(two, &b, &why) == 0) {
    same = a.checksum == b.checksum;
    envelope_free(&b);
  }
  envelope_free(&a);
  return same;
}

static int is_same(const struct import *in, const struct store_name *n, int fd)
{
  int own = store_open(in->v->queue_fd, n, O_RDONLY), same;

  if (own < 0)
    return errno == ENOENT; /* it is being moved or delivered: it was there */
  same = is_alike(own, fd);
  close(own);
  return same;
}

static const struct member *find_member(const struct import *in, const char *id)
{
  for (size_t i = 0; i < in->n; i++)
    if (strcmp(in->group[i].name.id, id) == 0)
      return &in->group[i];
  return NULL;
}

/* 0: an id that is free; 1: of the same message as fd; -1: of another one */
static int compare(const struct import *in, const char *id, int fd)
{
  const struct member *k = find_member(in, id);
  struct inspect_message m;

  if (!k && in->v->find(id, &m) != 0)
    return 0;
  return (k ? is_alike(k->fd, fd) : is_same(in, &m.name, fd)) ? 1 : -1;
}

/* ---- a group becomes part of the queue */

static void drop(struct import *in, struct member *m, int error)
{
  m->error = error ? error : EIO;
  in->error = m->error;
  store_abandon(in->v->queue_fd, m->name.id);
}

/* one that the manager had not heard of when we began is there by now */
static void place(struct import *in, struct member *m)
{
  int error = store_place(in->v->queue_fd, &m->name) == 0 ? 0 : errno;

  if (error == 0)
    return;
  if (error != EEXIST || !is_same(in, &m->name, m->fd)) {
    drop(in, m, error);
    return;
  }
  m->error = EEXIST;
  in->known++;
  store_abandon(in->v->queue_fd, m->name.id);
}

static void place_all(struct import *in)
{
  for (size_t i = 0; i < in->n; i++)
    sync_file_range(in->group[i].fd, 0, 0, SYNC_FILE_RANGE_WRITE);
  for (size_t i = 0; i < in->n; i++)
    if (fdatasync(in->group[i].fd) != 0)
      drop(in, &in->group[i], errno);
  for (size_t i = 0; i < in->n; i++)
    if (!in->group[i].error)
      place(in, &in->group[i]);
}

/* what is in its place counts when its directory is on disk. When that fails the message stays: it
 * is whole, and is found again, but nothing is promised */
static int flush_all(struct import *in)
{
  uint64_t buckets[STORE_STATES] = {0};
  int r = 0;

  for (size_t i = 0; i < in->n; i++)
    if (!in->group[i].error)
      buckets[in->group[i].name.state] |= store_bucket_bit(&in->group[i].name);
  for (int s = 0; s < STORE_STATES; s++)
    if (buckets[s] && store_flush(in->v->queue_fd, (enum store_state)s, buckets[s]) != 0) {
      in->error = errno;
      r = -1;
    }
  return r;
}

static void commit(struct import *in)
{
  int is_durable;

  place_all(in);
  is_durable = flush_all(in) == 0;
  for (size_t i = 0; i < in->n; i++) {
    struct member *m = &in->group[i];
    close(m->fd);
    if (!m->error) {
      in->imported += is_durable != 0;
      if (m->transcript.len > 0)
        transcript_keep(in->v->queue_fd, m->name.id, &m->transcript);
      in->adopted(in->arg, &m->name);
    }
    stralloc_free(&m->transcript);
    memset(m, 0, sizeof *m);
  }
  in->n = 0;
  in->bytes = 0;
}

/* ---- one message */

static void forget(struct import *in)
{
  if (in->fd < 0)
    return;
  close(in->fd);
  in->fd = -1;
  store_abandon(in->v->queue_fd, in->record.name.id);
}

/* ---- ids that must not be used again */

static struct import *replaying; /* for the callback, which has no argument */

static int by_id(const void *a, const void *b)
{
  return strncmp(a, b, STORE_ID_LEN);
}

static void retire(const char *id)
{
  char *copy = strndup(id, STORE_ID_LEN), **found;

  found = copy ? tsearch(copy, &replaying->retired, by_id) : NULL;
  if (!found)
    replaying->error = ENOMEM;
  if (!found || *found != copy)
    free(copy);
}

/* what cannot be read now is no note that the next start will find */
static void read_journal(struct import *in)
{
  struct journal_replay r = {.done = retire};

  replaying = in;
  journal_replay(in->v->queue_fd, &r);
  flights_free(&r.live);
}

static int is_retired(const struct import *in, const char *id)
{
  return flight_is_known(in->v->queue_fd, id) || tfind(id, &in->retired, by_id);
}

/* what an import that was killed left in tmp is nobody's: others make no file there with an id that is
 * in an archive, but of a message that is known. A descriptor, or -1 with errno */
static int create(const struct import *in, const char *id)
{
  struct inspect_message m;
  int fd = store_create(in->v->queue_fd, id);

  if (fd >= 0 || errno != EEXIST || find_member(in, id) || in->v->find(id, &m) == 0 ||
      flight_is_known(in->v->queue_fd, id))
    return fd;
  store_abandon(in->v->queue_fd, id);
  return store_create(in->v->queue_fd, id);
}

static int begin_message(struct import *in)
{
  in->last[0] = 0;
  if (in->n == GROUP || in->bytes > GROUP_BYTES)
    commit(in);
  if (in->error)
    return -1;
  if (in->record.len > SIZE_MAX_OWN) {
    complain(in, in->record.name.id, "it is too large");
    return 0;
  }
  in->fd = create(in, in->record.name.id);
  if (in->fd < 0 && errno == EEXIST) {
    complain(in, in->record.name.id, find_member(in, in->record.name.id)
                                       ? "its id stands twice in the archive"
                                       : "the queue is just working on a message with this id");
    return 0;
  }
  if (in->fd < 0 || store_free(in->v->queue_fd) < settings.queue_min_free + in->record.len) {
    in->error = in->fd < 0 ? errno : ENOSPC;
    return -1;
  }
  return 0;
}

/* gives the message being received another id, the same each time it is imported: in *other. 0; 1: with
 * that one it is in the queue already; -1 with errno */
static int give_id(struct import *in, char other[STORE_ID_LEN + 1])
{
  const char *old = in->record.name.id, *why;
  char from[STORE_NAME_MAX], to[STORE_NAME_MAX];
  struct envelope e;
  int r = envelope_read(in->fd, &e, &why), is_free = 0, is;

  if (r != 0)
    return -1;
  errno = EEXIST; /* should all of them be taken */
  for (unsigned int n = 0; r == 0 && !is_free && n < OTHER_IDS; n++) {
    store_other_id(other, old, n);
    if (is_retired(in, other))
      continue;
    r = envelope_rename(in->fd, &e, other);
    is = r == 0 ? compare(in, other, in->fd) : 0;
    is_free = is == 0;
    r = is > 0 ? 1 : r;
  }
  envelope_free(&e);
  if (r != 0 || !is_free)
    return r > 0 ? 1 : -1;
  snprintf(from, sizeof from, "tmp/%s", old);
  snprintf(to, sizeof to, "tmp/%s", other);
  store_abandon(in->v->queue_fd, other); /* left by an import that was killed, if it is there */
  return renameat2(in->v->queue_fd, from, in->v->queue_fd, to, RENAME_NOREPLACE);
}

/* its records name the message by its old id */
static void rename_transcript(stralloc *t, const char *old, const char *fresh)
{
  char head[STORE_ID_LEN + 4];
  size_t len = (size_t)snprintf(head, sizeof head, "= %s ", old);
  char *at = t->s, *end = t->s + t->len;

  for (; at < end && (at = memmem(at, (size_t)(end - at), head, len)); at += len)
    if (at == t->s || at[-1] == '\n')
      memcpy(at + 2, fresh, STORE_ID_LEN);
}

static void pass_over(struct import *in)
{
  in->known++;
  forget(in);
}

static int end_message(struct import *in, int is_whole)
{
  char *id = in->record.name.id, other[STORE_ID_LEN + 1];
  const char *why;
  int r;

  if (in->fd < 0)
    return 0;
  why = is_whole ? import_fault(in->fd, id) : "it was changed since it was exported";
  r = why ? 0 : compare(in, id, in->fd);
  if (r > 0) {
    pass_over(in);
    return 0;
  }
  if (r < 0)
    why = "the queue has another message with this id";
  if (why) {
    complain(in, id, why);
    forget(in);
    return 0;
  }
  memcpy(in->last, id, sizeof in->last);
  if (is_retired(in, id)) {
    r = give_id(in, other);
    if (r > 0) {
      in->last[0] = 0;
      pass_over(in);
      return 0;
    }
    if (r < 0) {
      in->error = errno;
      return -1;
    }
    memcpy(id, other, sizeof other);
    in->renamed++;
  }
  memset(&in->group[in->n], 0, sizeof in->group[in->n]);
  in->group[in->n].name = in->record.name;
  in->group[in->n++].fd = in->fd;
  in->bytes += in->record.len;
  in->fd = -1;
  return 0;
}

/* ---- records */

static int on_begin(void *arg, const struct archive_record *r)
{
  struct import *in = arg;

  in->record = *r;
  in->fd = -1;
  in->transcript.len = 0;
  return r->kind == 'm' ? begin_message(in) : 0;
}

static int on_data(void *arg, const char *s, size_t len)
{
  struct import *in = arg;

  if (in->record.kind == 't') {
    if (in->transcript.len + len <= TRANSCRIPT_OWN_MAX && !stralloc_catb(&in->transcript, s, len))
      in->transcript.len = 0; /* it is only for people */
    return 0;
  }
  if (in->fd < 0 || write_all(in->fd, s, len) == 0)
    return 0;
  in->error = errno;
  return -1;
}

static int on_end(void *arg, int is_whole)
{
  struct import *in = arg;

  if (in->record.kind == 'm')
    return end_message(in, is_whole);
  if (is_whole && *in->last && strcmp(in->last, in->record.name.id) == 0) {
    rename_transcript(&in->transcript, in->last, in->group[in->n - 1].name.id);
    in->group[in->n - 1].transcript = in->transcript;
    in->transcript = (stralloc){0};
  }
  in->last[0] = 0;
  return 0;
}

/* ---- all of it */

struct import *import_begin(const struct inspect_view *v, int json,
                            void (*adopted)(void *arg, const struct store_name *n), void *arg)
{
  static const struct archive_ops ops = {on_begin, on_data, on_end};
  struct import *in = calloc(1, sizeof *in);

  if (!in)
    return NULL;
  in->v = v;
  in->json = json;
  in->adopted = adopted;
  in->arg = arg;
  in->fd = -1;
  in->lock = openat(v->queue_fd, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (in->lock < 0 || flock(in->lock, LOCK_EX | LOCK_NB) != 0)
    in->error = errno;
  in->reader = archive_open(&ops, in);
  if (in->reader) {
    read_journal(in);
    return in;
  }
  close(in->lock);
  free(in);
  return NULL;
}

int import_feed(struct import *in, const char *s, size_t len)
{
  if (!in->error && archive_feed(in->reader, s, len, &in->why) == 0)
    return 0;
  if (!in->why && !in->error)
    in->error = EIO;
  return -1;
}

static void say_result(const struct import *in)
{
  if (in->json) {
    sight_print(in->v, json_pack("{s:I,s:I,s:I,s:I}", "imported", (json_int_t)in->imported,
                                 "renamed", (json_int_t)in->renamed, "known", (json_int_t)in->known, "refused", (json_int_t)in->refused));
    return;
  }
  inspect_say(in->v, 0, "%lu message%s imported.\n", in->imported,
              in->imported == 1 ? " was" : "s were");
  if (in->renamed)
    inspect_say(in->v, 0, "%lu of them under a new id: with the old one %s left this queue not long ago.\n",
                in->renamed, in->renamed == 1 ? "it" : "they");
  if (in->known)
    inspect_say(in->v, 0, "%lu %s in the queue already.\n", in->known, in->known == 1 ? "was" : "were");
  if (in->refused)
    inspect_say(in->v, 0, "%lu %s not taken.\n", in->refused, in->refused == 1 ? "was" : "were");
}

int import_end(struct import *in)
{
  int code = EXIT_OK;

  if (!in) {
    fputs("heloise: out of memory\n", stderr);
    return EXIT_TEMPFAIL;
  }
  if (!in->error && !in->why && archive_finish(in->reader, &in->why) == 0)
    in->why = NULL;
  forget(in);
  commit(in);
  say_result(in);
  if (in->why) {
    inspect_say(in->v, 1, "heloise: the archive is damaged: %s\n", in->why);
    code = EXIT_DATA;
  } else if (in->refused) {
    code = EXIT_DATA;
  }
  if (in->error == EWOULDBLOCK) {
    inspect_say(in->v, 1, "heloise: another import is at work; try again when it has ended\n");
    code = EXIT_TEMPFAIL;
  } else if (in->error) {
    inspect_say(in->v, 1, "heloise: the queue cannot be written: %s\n", strerror(in->error));
    code = EXIT_CANTCREAT;
  }
  stralloc_free(&in->transcript);
  tdestroy(in->retired, free);
  archive_close(in->reader);
  close(in->lock);
  free(in);
  return code;
}
