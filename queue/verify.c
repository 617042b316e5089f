/* verify.c - `heloise queue verify`: is everything in the queue as it should be?
 *
 * Runs in a child of the manager, or in the command while nothing runs. Every message is read to
 * its end. The manager goes on meanwhile: what looks wrong is looked at again before it is said,
 * and what is no longer there was moved or delivered. */
#include "queue/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/json.h"
#include "common/verdict.h"
#include "queue/journal_read.h"
#include "queue/sight.h"
#include "queue/store_flight.h"
#include "queue/survey.h"

#define YOUNG 10    /* seconds: the manager hears of a message that much later at most */
#define AGAIN_MS 50 /* until something is looked at again */

struct verifying {
  const struct inspect_view *v;
  uid_t owner;
  uint64_t began, done, total;
  unsigned long messages, recipients, broken, rights, marks, journal, unknown, left, corrupt;
  uint64_t bytes;
  void *seen; /* tree of the ids in one bucket */
  char bucket[3];
  size_t doubtful; /* of the message read last */
  char text[100]; /* of a finding */
};

/* ---- findings */

static int say(struct verifying *k, const char *kind, unsigned long *count, const char *path,
               const char *why)
{
  ++*count;
  return sight_print(k->v, json_pack("{s:s,s:o,s:o}", "kind", kind, "path", json_bytes(path), "why",
                                     json_bytes(why)));
}

static int say_broken(struct verifying *k, const char *path, const char *why)
{
  return say(k, "broken", &k->broken, path, why);
}

/* ---- one message */

/* what is wrong with an open file, or NULL. name: what its name says; NULL: it says nothing */
static const char *fault_of(struct verifying *k, int fd, const struct store_name *name)
{
  struct envelope e;
  const char *why;

  if (envelope_read(fd, &e, &why) != 0)
    return why;
  if (name && strcmp(e.id, name->id) != 0)
    why = "its id is not its name's";
  else if (envelope_verify(fd, &e, &why) == 0)
    why = NULL;
  k->doubtful = e.doubtful;
  if (!why && name) {
    k->recipients += e.nrcpt;
    k->bytes += e.body_len;
  }
  envelope_free(&e);
  return why;
}

/* what is wrong with the rights of a file; NULL: nothing, or it is gone */
static const char *rights_fault(struct verifying *k, const char *path)
{
  struct stat st;

  if (fstatat(k->v->queue_fd, path, &st, AT_SYMLINK_NOFOLLOW) != 0)
    return NULL;
  if (st.st_uid == k->owner && (st.st_mode & 07777) == 0600)
    return NULL;
  snprintf(k->text, sizeof k->text, "its owner is user %u and its mode %04o, not user %u and 0600",
           (unsigned int)st.st_uid, (unsigned int)st.st_mode & 07777, (unsigned int)k->owner);
  return k->text;
}

/* what is wrong with a message; NULL: nothing, or it is gone */
static const char *fault(struct verifying *k, const struct store_name *n)
{
  int fd = store_open(k->v->queue_fd, n, O_RDONLY);
  const char *why;

  k->doubtful = 0;
  if (fd < 0)
    return errno == ENOENT || errno == EACCES ? NULL /* its rights are told */
           : errno == EBADMSG                 ? "not a file"
                                              : strerror(errno);
  why = fault_of(k, fd, n);
  close(fd);
  return why;
}

/* a file that is being written to may look torn for a moment */
static const char *lasting_fault(struct verifying *k, const struct store_name *n)
{
  const struct timespec pause = {0, AGAIN_MS * 1000000L};
  const char *why = fault(k, n);

  if (!why || !k->v->is_live)
    return why;
  nanosleep(&pause, NULL);
  return fault(k, n);
}

/* ---- one state per message */

static int by_id(const void *a, const void *b)
{
  const struct store_name *x = a, *y = b;

  return strcmp(x->id, y->id);
}

/* the name under which this id was seen in its bucket before, or NULL; it is remembered */
static const struct store_name *seen_before(struct verifying *k, const struct store_name *n)
{
  struct store_name *copy, **found;

  if (strcmp(k->bucket, n->id + 13) != 0) {
    tdestroy(k->seen, free);
    k->seen = NULL;
    snprintf(k->bucket, sizeof k->bucket, "%s", n->id + 13);
  }
  copy = malloc(sizeof *copy);
  if (!copy)
    return NULL;
  *copy = *n;
  found = tsearch(copy, &k->seen, by_id);
  if (found && *found == copy)
    return NULL;
  free(copy);
  return found ? *found : NULL;
}

static int is_there(const struct verifying *k, const struct store_name *n)
{
  char path[STORE_NAME_MAX];
  struct stat st;

  store_path(path, n);
  return fstatat(k->v->queue_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int is_same(const struct store_name *a, const struct store_name *b)
{
  return a->state == b->state && a->next == b->next && a->hop == b->hop;
}

/* which of two files with one id is the message: the one that the manager works with, else the one
 * that was tried */
static int is_the_message(const struct verifying *k, const struct store_name *n,
                          const struct store_name *other)
{
  struct inspect_message m;

  if (k->v->is_live && k->v->find(n->id, &m) == 0 &&
      (is_same(&m.name, n) || is_same(&m.name, other)))
    return is_same(&m.name, n);
  return other->state == STORE_NEW && n->state != STORE_NEW;
}

/* 1 when n is an intruder and was told; 0 */
static int check_twice(struct verifying *k, const struct store_name *n)
{
  const struct store_name *other = seen_before(k, n);
  char path[STORE_NAME_MAX], text[STORE_NAME_MAX + 40];
  int is_n;

  if (!other || is_same(n, other) || !is_there(k, n) || !is_there(k, other))
    return 0;
  is_n = is_the_message(k, n, other);
  store_path(path, is_n ? n : other);
  snprintf(text, sizeof text, "its id is that of %s", path);
  store_path(path, is_n ? other : n);
  say_broken(k, path, text);
  return !is_n;
}

/* a message that somebody put here while the manager runs: it would lie until the next start */
static int is_unknown(struct verifying *k, const struct store_name *n)
{
  struct inspect_message m;
  char path[STORE_NAME_MAX];
  struct stat st;

  store_path(path, n);
  return k->v->is_live && k->v->find(n->id, &m) != 0 && !flight_is_over(n->id) &&
         fstatat(k->v->queue_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
         (uint64_t)st.st_ctime + YOUNG < k->began;
}

static int check_message(struct verifying *k, const struct survey_entry *e)
{
  const char *why;

  k->messages++;
  if (k->v->progress)
    k->v->progress(k->v->arg, k->done++, k->total);
  if (check_twice(k, &e->name))
    return 0;
  why = lasting_fault(k, &e->name);
  if (why)
    return say_broken(k, e->path, why);
  why = rights_fault(k, e->path);
  if (why)
    return say(k, "rights", &k->rights, e->path, why);
  if (k->doubtful > 0) {
    snprintf(k->text, sizeof k->text, "the marks of %zu recipients are damaged: they count as still to do",
             k->doubtful);
    say(k, "marks", &k->marks, e->path, k->text);
  }
  if (is_unknown(k, &e->name))
    return say(k, "unknown", &k->unknown, e->path, "the manager does not know it");
  return 0;
}

/* ---- what was put aside, and the rest */

static int tell_corrupt(struct verifying *k, const struct survey_entry *e)
{
  int fd = openat(k->v->queue_fd, e->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  const char *why = e->why;

  if (!why && fd < 0)
    why = strerror(errno);
  if (!why) {
    why = fault_of(k, fd, NULL);
    why = why ? why : "a whole message";
  }
  if (fd >= 0)
    close(fd);
  return say(k, "corrupt", &k->corrupt, e->path, why);
}

static int check_one(void *arg, const struct survey_entry *e)
{
  struct verifying *k = arg;

  switch (e->kind) {
  case SURVEY_MESSAGE:
    return check_message(k, e);
  case SURVEY_CORRUPT:
    return tell_corrupt(k, e);
  case SURVEY_LEFT: /* while the intake runs it is being received */
    return k->v->is_live ? 0 : say(k, "left", &k->left, e->path, e->why);
  default:
    return say_broken(k, e->path, e->why);
  }
}

/* a message that is in the journal only; its record has a sum of its own */
static int check_flight(void *arg, const struct inspect_message *m)
{
  struct verifying *k = arg;
  char path[STORE_NAME_MAX];
  const char *why;
  int fd;

  if (m->name.state != STORE_FLIGHT)
    return 0;
  k->messages++;
  fd = store_open(k->v->queue_fd, &m->name, O_RDONLY);
  why = fd < 0 ? "its record is damaged" : fault_of(k, fd, &m->name);
  if (fd >= 0)
    close(fd);
  if (!why || k->v->is_live) /* it becomes a file or is done with as we look */
    return 0;
  snprintf(path, sizeof path, "journal, %s", m->name.id);
  return say(k, "journal", &k->journal, path, why);
}

/* ---- the journal's segments */

static struct verifying *reading; /* for the callback, which has no argument */

static void on_lost(unsigned int segment, const struct journal_segment *head, size_t from,
                    const char *bytes, size_t len)
{
  char path[16], copy[JOURNAL_LOST_NAME];
  struct stat st;

  (void)bytes;
  snprintf(path, sizeof path, "journal/%u", segment);
  journal_lost_name(copy, head, from);
  if (fstatat(reading->v->queue_fd, copy, &st, AT_SYMLINK_NOFOLLOW) == 0)
    return; /* known, and told as what was put aside */
  snprintf(reading->text, sizeof reading->text, "%zu bytes of records that were durable are damaged", len);
  say(reading, "journal", &reading->journal, path, reading->text);
}

/* while the intake runs it writes there: what was lost before it has told at its start */
static void check_journal(struct verifying *k)
{
  struct journal_replay r = {.lost = k->v->is_live ? NULL : on_lost};
  struct stat st;
  char path[16];

  reading = k;
  journal_replay(k->v->queue_fd, &r);
  flights_free(&r.live);
  for (unsigned int i = 0; i < JOURNAL_SEGMENTS; i++) {
    const struct journal_seen *seen = &r.segment[i];
    const char *why = seen->state == JOURNAL_UNREADABLE ? "it cannot be read"
                      : seen->is_strange                ? "its head is damaged"
                      : seen->is_cut ? "it is shorter than it was made: what is missing is lost" : NULL;
    snprintf(path, sizeof path, "journal/%u", i);
    if (why && fstatat(k->v->queue_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
      say(k, "journal", &k->journal, path, why); /* else it was told */
  }
}

int verify_run(const struct inspect_view *v, const struct request *q)
{
  struct verifying k = {.v = v, .began = sight_now(), .total = v->count ? v->count() : 0};
  struct stat st;
  int r = -1;

  (void)q;
  if (fstat(v->queue_fd, &st) == 0) {
    k.owner = st.st_uid;
    r = survey(v->queue_fd, 2, check_one, &k);
    if (r >= 0) {
      v->each(check_flight, &k); /* directories that it cannot read were told */
      check_journal(&k);
    }
  }
  tdestroy(k.seen, free);
  if (r < 0)
    inspect_say(v, 1, "heloise: a part of the queue cannot be read\n");
  sight_print(v, json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "messages", (json_int_t)k.messages,
                           "recipients", (json_int_t)k.recipients, "bytes", (json_int_t)k.bytes,
                           "broken", (json_int_t)k.broken, "rights",
                           (json_int_t)k.rights, "marks", (json_int_t)k.marks, "journal",
                           (json_int_t)k.journal, "unknown", (json_int_t)k.unknown, "left",
                           (json_int_t)k.left, "corrupt", (json_int_t)k.corrupt));
  return r == 0 ? EXIT_OK : EXIT_IOERR;
}
