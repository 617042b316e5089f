/* orders.c - what an administrator orders done to messages
 *
 * Runs in the manager. Messages are named by id. Those that wait for their turn at a destination lose
 * it, and have it done to them at once; those that are being tried, when their attempts end. What is
 * ordered for a path comes from verify, and is believed no further than the path's form. */
#include "queue/orders.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "queue/clock.h"
#include "queue/flush.h"
#include "queue/line.h"
#include "queue/survey.h"
#include "queue/tally.h"
#include "queue/waiting.h"
#include "queue/work.h"

static int queue_fd = -1;

void orders_open(int fd)
{
  queue_fd = fd;
}

/* ---- acts to messages */

static uint32_t now(void)
{
  return (uint32_t)time(NULL);
}

/* an act to one message that is known. Those being worked on have it later */
struct target {
  uint32_t handle;
  struct work *work; /* NULL: it is not being worked on */
  struct store_name name;
  const char *text;
};

/* its file was moved: it is due then (wall clock), and has to be looked at anew */
static enum acted settle_at(struct target *t, enum acted r, uint32_t due)
{
  if (r != ACTED_DONE)
    return r;
  line_leave(t->handle);
  waiting_moved(t->handle, &t->name);
  waiting_at(t->handle)->is_unverified = 1;
  waiting_until(t->handle, due == WAITING_NEVER ? due : (uint32_t)clock_to_steady(due));
  flush_soon(&t->name);
  return r;
}

/* done; or what is being tried, or a report, is waited for; or the disk did not take it: it is tried
 * again */
static enum acted at_once(const struct target *t)
{
  if (!waiting_at(t->handle)->is_active) /* t->work is gone */
    return ACTED_DONE;
  return t->work->jobs > 0 || t->work->is_reporting ? ACTED_LATER : ACTED_FAILED;
}

static enum acted hold(struct target *t)
{
  if (t->work && t->work->is_held)
    return ACTED_NOTHING;
  if (t->work) {
    work_hold(t->work);
    return at_once(t);
  }
  return settle_at(t, act_hold(queue_fd, &t->name), WAITING_NEVER);
}

static enum acted hurry(struct target *t)
{
  if (t->work)
    return ACTED_NOTHING;
  if (t->name.state == STORE_HOLD &&
      store_move(queue_fd, &t->name, STORE_CUR, now(), t->name.hop) != 0)
    return ACTED_FAILED;
  line_leave(t->handle);
  waiting_moved(t->handle, &t->name);
  waiting_at(t->handle)->is_hurried = 1;
  waiting_until(t->handle, (uint32_t)clock_steady());
  return ACTED_DONE;
}

static enum acted release(struct target *t)
{
  enum acted r;

  if (t->work)
    return work_release(t->work) ? ACTED_DONE : ACTED_NOTHING;
  if (t->name.state == STORE_HOLD && t->name.next == WAITING_NEVER)
    return hurry(t); /* a route held it: its recipients have no time of their own */
  r = act_release(queue_fd, &t->name);
  return settle_at(t, r, t->name.next);
}

static enum acted give_up(struct target *t)
{
  int waits = t->work && (t->work->jobs > 0 || t->work->is_reporting);
  size_t failed;
  enum acted r;

  if (t->work && t->work->todo == 0)
    return ACTED_NOTHING;
  if (t->work && work_bounce(t->work, t->text) != 0)
    return ACTED_FAILED;
  if (t->work) /* which may be gone */
    return waits ? ACTED_LATER : ACTED_DONE;
  r = act_bounce(queue_fd, &t->name, t->text, &failed);
  tally_count(TALLY_BOUNCED, failed);
  return settle_at(t, r, now());
}

static enum acted throw_away(struct target *t)
{
  enum acted r;

  if (t->work) {
    work_remove(t->work);
    return at_once(t);
  }
  r = act_remove(queue_fd, &t->name);
  if (r == ACTED_DONE)
    waiting_drop(t->handle);
  return r;
}

static const struct {
  enum acted (*run)(struct target *t);
  int is_logged;
} acts[ACTS] = {[ACT_HOLD] = {hold, 1},
                [ACT_RELEASE] = {release, 1},
                [ACT_RETRY] = {hurry, 0},
                [ACT_REMOVE] = {throw_away, 0},
                [ACT_BOUNCE] = {give_up, 1}};

static enum acted act_on(uid_t uid, enum act a, const char *id, const char *text)
{
  struct target t = {.handle = store_is_id(id, strlen(id)) ? waiting_find(id) : WAITING_NONE,
                     .text = text};
  enum acted r;
  char by[32];

  if (t.handle == WAITING_NONE)
    return ACTED_UNKNOWN;
  t.work = waiting_at(t.handle)->is_active ? work_find(t.handle) : NULL;
  waiting_name(t.handle, &t.name);
  r = acts[a].run(&t);
  snprintf(by, sizeof by, "uid %u", (unsigned int)uid);
  if (a == ACT_REMOVE && (r == ACTED_DONE || r == ACTED_LATER))
    log_removed(id, by, r == ACTED_LATER ? "after its attempt" : "at once");
  else if (acts[a].is_logged && (r == ACTED_DONE || r == ACTED_LATER))
    log_ordered(id, by, act_word(a));
  return r;
}

/* ---- acts to paths */

/* a file that verify found broken. One that is known by this name is no message any more; one that
 * is being worked on, or was moved since, is left */
static enum acted put_aside(const char *path, const char *why)
{
  uint32_t h = WAITING_NONE;
  struct store_name n, known;

  if (store_parse(path, &n) == 0)
    h = waiting_find(n.id);
  if (h != WAITING_NONE) {
    waiting_name(h, &known);
    if (!store_is_same(&n, &known))
      h = WAITING_NONE; /* another file with this id */
    else if (waiting_at(h)->is_active)
      return ACTED_LATER;
  }
  if (survey_aside(queue_fd, path, why) != 0)
    return errno == ENOENT ? ACTED_NOTHING : ACTED_FAILED;
  if (h == WAITING_NONE)
    return ACTED_DONE;
  waiting_drop(h);
  return ACTED_DONE;
}

/* a message that somebody put into the queue */
static enum acted adopt(const char *path, const char *why)
{
  struct store_name n;
  uint32_t h;
  int fd;

  (void)why;
  if (store_parse(path, &n) != 0 || waiting_find(n.id) != WAITING_NONE)
    return ACTED_NOTHING;
  fd = store_open(queue_fd, &n, O_RDONLY);
  if (fd < 0)
    return ACTED_UNKNOWN;
  close(fd);
  h = waiting_add(&n);
  if (h == WAITING_NONE)
    return ACTED_FAILED;
  waiting_at(h)->is_unverified = 1;
  return ACTED_DONE;
}

static enum acted mend(const char *path, const char *why)
{
  (void)why;
  return survey_mend(queue_fd, path) == 0 ? ACTED_DONE : errno == ENOENT ? ACTED_NOTHING : ACTED_FAILED;
}

static const struct {
  enum acted (*run)(const char *path, const char *why);
} path_acts[ACTS] = {[ACT_ASIDE] = {put_aside}, [ACT_MEND] = {mend}, [ACT_ADOPT] = {adopt}};

/* ---- all of them */

size_t orders_do(uid_t uid, enum act a, const char *what, const char *text, char letters[ACT_IDS])
{
  char id[STORE_ID_LEN + 1];
  size_t n = 0;

  if (a >= ACT_ASIDE) {
    letters[0] = (char)path_acts[a].run(what, text);
    return 1;
  }
  for (; *what && n < ACT_IDS; what += *what == ' ') {
    size_t len = strcspn(what, " ");
    snprintf(id, sizeof id, "%.*s", (int)len, what);
    letters[n++] = len == STORE_ID_LEN ? (char)act_on(uid, a, id, text) : ACTED_UNKNOWN;
    what += len;
  }
  return n;
}
