/* dropbox.c - queue/drop: messages that sendmail(8) left there, also while nothing ran
 *
 * Runs in heloise-intake. Any user of the host may have written what lies here, links and
 * devices too: hostile. A file goes when its message is durable; until then it stays. */
#include "queue/dropbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/loop.h"
#include "common/settings.h"
#include "common/units.h"
#include "queue/clients.h"
#include "queue/drop.h"
#include "queue/receive.h"
#include "queue/store.h"

#define AT_ONCE 64             /* files being taken */
#define LOOK_AGAIN_MS 30000    /* what could not be taken is looked at again */
#define SOON_MS 1000           /* where changes cannot be watched */
#define NAME_LIMIT 200
#define STALE 86400            /* seconds: an unfinished file of that age is cleared away */
#define CHUNK 65536
#define PIECE (1024 * 1024)    /* copied in one turn of the loop */

/* a file that is being taken: copied a piece a turn, then made durable */
struct taken {
  struct taken *next;
  char name[NAME_LIMIT + 1];
  struct incoming *in;
  int fd; /* -1 once it is copied */
  int is_over; /* it is in the queue, and its file cannot be removed yet */
  off_t at;
  uint64_t left;
};

static int queue_fd, drop_fd = -1;
static struct loop_handler watcher;
static struct loop_timer timer, copy_timer;
static int is_watched;
static struct taken *taken;
static size_t taken_count;

static void forget(struct taken *t)
{
  struct taken **p = &taken;

  while (*p != t)
    p = &(*p)->next;
  *p = t->next;
  if (t->fd >= 0)
    close(t->fd);
  free(t);
  if (taken_count-- == AT_ONCE)
    loop_timer_in(&timer, 0); /* there may be more */
}

static void put_aside(const char *name, const char *why)
{
  char path[NAME_LIMIT + 8];

  snprintf(path, sizeof path, "drop/%s", name);
  store_put_aside(queue_fd, path, why);
}

/* while its file is there it must not be forgotten, or it would be taken again and again */
static void on_durable(void *owner, struct incoming *in)
{
  struct taken *t = owner;

  (void)in;
  t->is_over = 1;
  if (unlinkat(drop_fd, t->name, 0) == 0 || errno == ENOENT)
    forget(t);
  else
    log_failed("intake", t->name, strerror(errno));
}

static void remove_those_over(void)
{
  for (struct taken *t = taken, *next; t; t = next) {
    next = t->next;
    if (t->is_over && (unlinkat(drop_fd, t->name, 0) == 0 || errno == ENOENT))
      forget(t);
  }
}

static void on_refused(void *owner, struct incoming *in, enum verdict v, const char *reply)
{
  struct taken *t = owner;

  (void)in;
  if (v == V_PERM || receive_is_malformed(reply))
    put_aside(t->name, reply);
  forget(t);
}

static const struct receive_ops ops = {clients_news, on_durable, on_refused, RECEIVE_MARKS};

/* ---- one file */

static int add_received(struct incoming *in, uid_t uid)
{
  stralloc line = {0};
  int r = -1;

  if (stralloc_cats(&line, "Received: by ") && stralloc_cats(&line, settings.hostname) &&
      stralloc_cats(&line, " (Heloise, from uid ") && units_format_number(&line, uid) == 0 &&
      stralloc_cats(&line, ")\r\n\tid ") && stralloc_cats(&line, receive_id(in)) &&
      stralloc_cats(&line, "; ") && units_format_date(&line, (uint64_t)time(NULL)) == 0 &&
      stralloc_cats(&line, "\r\n"))
    r = receive_data(in, line.s, line.len);
  free(line.s);
  return r;
}

/* copies a piece of one message; large ones must not hold up clients */
static void copy_piece(struct taken *t)
{
  static char buf[CHUNK];

  for (size_t done = 0; t->left > 0 && done < PIECE; done += CHUNK) {
    ssize_t n = pread(t->fd, buf, t->left < CHUNK ? (size_t)t->left : CHUNK, t->at);
    if (n <= 0) {
      receive_abort(t->in); /* it stays, and is tried again */
      forget(t);
      return;
    }
    if (receive_data(t->in, buf, (size_t)n) != 0)
      return; /* refused: on_refused() has dealt with t */
    t->left -= (uint64_t)n;
    t->at += n;
  }
  if (t->left > 0)
    return;
  close(t->fd);
  t->fd = -1;
  receive_commit(t->in);
}

static void on_copy_timer(struct loop_timer *timer_)
{
  struct taken *t = taken;

  (void)timer_;
  while (t && t->fd < 0)
    t = t->next;
  if (!t)
    return;
  copy_piece(t);
  loop_timer_in(&copy_timer, 0);
}

static struct taken *remember(const char *name)
{
  struct taken *t = calloc(1, sizeof *t);

  if (!t)
    return NULL;
  snprintf(t->name, sizeof t->name, "%s", name);
  t->fd = -1;
  t->next = taken;
  taken = t;
  taken_count++;
  return t;
}

/* hands the message to receive.c. 0: it is on its way, or was refused for the moment; -1 with
 * *why: it never can be taken */
static int take_message(int fd, const struct drop *d, uid_t uid, const char *name, const char **why)
{
  char client[32];
  struct envelope_new n = {.sender = d->sender, .envid = d->envid, .ret = d->ret, .client = client,
                           .helo = "", .protocol = "local", .flags = d->flags | ENVELOPE_RELAYED};
  struct taken *t;
  struct incoming *in;

  *why = "out of memory";
  t = remember(name);
  if (!t)
    return 0;
  snprintf(client, sizeof client, "local:%u", (unsigned int)uid);
  in = receive_begin(&n, d->nrcpt, &ops, t, why);
  if (!in) {
    forget(t);
    return receive_is_malformed(*why) ? -1 : 0;
  }
  *why = "an address or parameter is malformed";
  for (size_t i = 0; i < d->nrcpt; i++)
    if (receive_rcpt(in, d->rcpt[i].address, d->rcpt[i].notify, d->rcpt[i].orcpt) != 0) {
      receive_abort(in);
      forget(t);
      return -1;
    }
  t->in = in;
  if (add_received(in, uid) != 0)
    return 0;
  t->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (t->fd < 0) {
    receive_abort(in);
    forget(t);
    return 0;
  }
  t->at = (off_t)d->body_at;
  t->left = d->body_len;
  loop_timer_in(&copy_timer, 0);
  return 0;
}

static void take_file(const char *name)
{
  int fd = openat(drop_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  const char *why = "not a file of its sender's own";
  struct stat st;
  struct drop d;
  int r = -1;

  if (fd < 0 && errno != ELOOP && errno != ENXIO) {
    if (errno != ENOENT)
      log_failed("intake", name, strerror(errno));
    return;
  }
  if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1) {
    r = drop_read(fd, &d, &why);
    if (r != 0 && errno != EBADMSG)
      r = 0; /* unreadable for the moment: it stays */
    else if (r == 0) {
      r = take_message(fd, &d, st.st_uid, name, &why);
      drop_free(&d);
    }
  }
  if (fd >= 0)
    close(fd);
  if (r != 0)
    put_aside(name, why);
}

/* ---- the directory */

static int is_taken(const char *name)
{
  for (const struct taken *t = taken; t; t = t->next)
    if (strcmp(t->name, name) == 0)
      return 1;
  return 0;
}

/* a file that was never finished: its sendmail was killed, and nobody was told it is taken */
static void sweep_file(const char *name)
{
  struct stat st;

  if (fstatat(drop_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
    return;
  if (!S_ISREG(st.st_mode))
    put_aside(name, "not a file");
  else if (st.st_mtime < time(NULL) - STALE && unlinkat(drop_fd, name, 0) == 0)
    log_swept(name, "never finished");
}

void dropbox_scan(void)
{
  int fd = openat(drop_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = fd < 0 ? NULL : fdopendir(fd);
  struct dirent *e;

  loop_timer_in(&timer, is_watched ? LOOK_AGAIN_MS : SOON_MS);
  if (!dir) {
    if (fd >= 0)
      close(fd);
    log_failed("intake", "drop", strerror(errno));
    return;
  }
  remove_those_over();
  while (taken_count < AT_ONCE && (e = readdir(dir))) {
    if (strlen(e->d_name) > NAME_LIMIT || is_taken(e->d_name))
      continue;
    if (drop_is_name(e->d_name))
      take_file(e->d_name);
    else if (e->d_name[0] != '.')
      sweep_file(e->d_name);
  }
  closedir(dir);
}

static void on_change(struct loop_handler *h, int fd, int events)
{
  char buf[4096];

  (void)h;
  (void)events;
  while (read(fd, buf, sizeof buf) > 0)
    ; /* what changed is found by looking */
  loop_drained(fd, LOOP_READ);
  dropbox_scan();
}

static void on_timer(struct loop_timer *t)
{
  (void)t;
  dropbox_scan();
}

int dropbox_open(int fd)
{
  char path[64];
  int watch;

  queue_fd = fd;
  drop_fd = openat(fd, "drop", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (drop_fd < 0)
    return -1;
  timer.fire = on_timer;
  copy_timer.fire = on_copy_timer;
  watcher.ready = on_change;
  watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  snprintf(path, sizeof path, "/proc/self/fd/%d", drop_fd);
  if (watch < 0 || inotify_add_watch(watch, path, IN_MOVED_TO | IN_ONLYDIR) < 0 ||
      loop_add(watch, &watcher) != 0) {
    if (watch >= 0)
      close(watch);
    return 0; /* looked at every second instead */
  }
  loop_want(watch, LOOP_READ);
  is_watched = 1;
  return 0;
}
