/* desk.c - where commands ask about the queue, and have it worked on
 *
 * Runs as the caller of `heloise queue ...`. */
#include "queue/desk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/chan.h"
#include "common/settings.h"
#include "common/verdict.h"
#include "queue/import.h"
#include "queue/inspect.h"
#include "queue/store.h"
#include "queue/survey.h"
#include "queue/waiting.h"

#define ANSWER_MS 600000   /* until the next part of an answer: the queue may be large, the disk slow */
#define STARTING_TRIES 50 /* of 100 ms: the lock is held, the control socket not yet there */
#define INDEX_FROM 20     /* ids in one go, from which reading all names once is cheaper */
#define PIECE 32000       /* bytes of an archive in one message */

/* ---- with the manager */

static int connect_control(const struct instance *i)
{
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  int dir, fd, r, saved;

  /* by way of the directory, so that a long path fits */
  dir = open(i->run, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0)
    return -1;
  snprintf(a.sun_path, sizeof a.sun_path, "/proc/self/fd/%d/control", dir);
  fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  r = fd < 0 ? -1 : connect(fd, (struct sockaddr *)&a, sizeof a);
  saved = errno;
  close(dir);
  if (r != 0 && fd >= 0)
    close(fd);
  errno = saved;
  return r != 0 ? -1 : fd;
}

static int send_request(int sock, int argc, const char *const *argv)
{
  struct wire_out o;

  if (argc > WIRE_FIELDS) {
    errno = EMSGSIZE;
    return -1;
  }
  wire_start(&o, WIRE_REQUEST);
  for (int i = 0; i < argc; i++)
    wire_str(&o, argv[i]);
  return chan_send_blocking(sock, &o, -1);
}

/* passes one part of an answer on. 0; 1: it was the last one, with the exit code; -1 */
static int take_answer(struct wire_msg *m, const struct desk_sink *to, int *code)
{
  uint64_t a, b;

  switch (m->type) {
  case WIRE_EXITED:
    *code = wire_get_num(m, 0, 255, &a) == 0 ? (int)a : EXIT_SOFTWARE;
    return 1;
  case WIRE_PROGRESS:
    if (to->progress && wire_get_num(m, 0, UINT64_MAX, &a) == 0 &&
        wire_get_num(m, 1, UINT64_MAX, &b) == 0)
      to->progress(to->arg, a, b);
    return 0;
  case WIRE_TEXT:
  case WIRE_COMPLAINT:
    return to->print(to->arg, m->f[0].s, m->f[0].len, m->type == WIRE_COMPLAINT);
  default:
    return -1;
  }
}

/* the exit code; EXIT_IOERR: what is printed goes nowhere; -1: the answer did not end */
static int read_answers(int sock, const struct desk_sink *to)
{
  struct wire_msg m;
  int code;

  while (chan_recv_blocking(sock, LINK_COMMAND, WIRE_LOW, ANSWER_MS, &m) == 1) {
    int r = take_answer(&m, to, &code);
    if (r != 0)
      return r > 0 ? code : EXIT_IOERR;
  }
  return -1;
}

static int unanswered(void)
{
  fputs("heloise: the queue manager does not answer; see the log of `heloise run`\n", stderr);
  return EXIT_TEMPFAIL;
}

static int look_up(const struct instance *i, int argc, const char *const *argv,
                   const struct desk_sink *to)
{
  int sock = connect_control(i), code;

  if (sock < 0)
    return -1;
  send_request(sock, argc, argv); /* who may not ask is told so before the question */
  code = read_answers(sock, to);
  close(sock);
  return code;
}

static int catch(void *arg, const char *s, size_t len, int error)
{
  if (error)
    return fwrite(s, 1, len, stderr) == len ? 0 : -1;
  return stralloc_catb(arg, s, len) ? 0 : -1;
}

int queue_ask(const struct instance *i, int argc, const char *const *argv, stralloc *out, int *code)
{
  const struct desk_sink to = {catch, NULL, out};
  int sock = connect_control(i);

  if (sock < 0)
    return errno == ENOENT || errno == ECONNREFUSED ? 0 : -1;
  close(sock);
  *code = stralloc_copys(out, "") ? look_up(i, argc, argv, &to) : -1;
  errno = EIO;
  return *code < 0 ? -1 : 1;
}

/* ---- without it */

int queue_lock(const struct instance *i)
{
  char *path;
  int fd, saved;

  if (asprintf(&path, "%s/lock", i->run) < 0)
    return -1;
  fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  saved = errno;
  free(path);
  errno = saved;
  if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
  }
  return fd;
}

/* what root makes in the queue must be its owner's, or the programs could not read it. 0, or -1 */
static int become_owner(const struct desk *d)
{
  struct stat st;

  if (geteuid() != 0)
    return 0;
  if (fstat(d->queue_fd, &st) == 0 && setegid(st.st_gid) == 0 && seteuid(st.st_uid) == 0)
    return 0;
  fprintf(stderr, "heloise: cannot become the owner of %s: %s\n", d->instance->queue, strerror(errno));
  return -1;
}

static void become_caller(void)
{
  if (getuid() == 0 && (seteuid(0) != 0 || setegid(getgid()) != 0))
    abort();
}

static int queue_fd = -1; /* that of the one desk: what follows is called without an argument */

struct visit {
  int (*f)(void *arg, const struct inspect_message *m);
  void *arg;
};

static void inspect_of(const struct store_name *n, struct inspect_message *m)
{
  *m = (struct inspect_message){.name = *n, .due = n->state == STORE_HOLD ? UINT32_MAX : n->next};
}

static int visit(void *arg, const struct store_name *n)
{
  struct visit *v = arg;
  struct inspect_message m;

  inspect_of(n, &m);
  return v->f(v->arg, &m);
}

static int each(int (*f)(void *arg, const struct inspect_message *m), void *arg)
{
  struct visit v = {f, arg};
  int r = 0;

  for (int s = 0; r == 0 && s < STORE_STATES; s++)
    r = store_scan(queue_fd, (enum store_state)s, 0, visit, &v);
  return r;
}

/* all names, for what asks for many of them: the manager's own list serves */
static int has_index;

static int add_name(void *arg, const struct store_name *n)
{
  (void)arg;
  return waiting_add(n) == WAITING_NONE;
}

static void make_index(void)
{
  has_index = 1;
  for (int s = 0; has_index && s < STORE_STATES; s++)
    has_index = store_scan(queue_fd, (enum store_state)s, 0, add_name, NULL) <= 0;
}

static int find_name(const char *id, struct store_name *n)
{
  uint32_t h;

  if (!has_index)
    return store_find(queue_fd, id, n);
  h = store_is_id(id, strlen(id)) ? waiting_find(id) : WAITING_NONE;
  if (h == WAITING_NONE)
    return -1;
  waiting_name(h, n);
  return 0;
}

static int find(const char *id, struct inspect_message *m)
{
  struct store_name n;

  if (find_name(id, &n) != 0)
    return -1;
  inspect_of(&n, m);
  return 0;
}

static int count_one(void *arg, const struct inspect_message *m)
{
  (void)m;
  ++*(uint64_t *)arg;
  return 0;
}

static uint64_t count(void)
{
  uint64_t n = 0;

  each(count_one, &n);
  return n;
}

static int look_down(struct desk *d, int argc, const char *const *argv, const struct desk_sink *to)
{
  struct inspect_view v = {.queue_fd = d->queue_fd, .tables = d->tables, .only = INSPECT_ALL,
                           .each = each, .find = find, .count = count, .print = to->print,
                           .progress = to->progress, .arg = to->arg};
  int code;

  if (become_owner(d) != 0)
    return EXIT_NOPERM;
  if (!has_index && argc > 2 && argv[1][0] != '-')
    make_index(); /* many ids */
  code = inspect_run(&v, argc, argv);
  become_caller();
  return code;
}

static enum acted act_on(struct desk *d, enum act a, const char *id, const char *text)
{
  struct store_name n;
  enum acted r;
  size_t failed;

  if (find_name(id, &n) != 0)
    return ACTED_UNKNOWN;
  switch (a) {
  case ACT_HOLD:
    r = act_hold(d->queue_fd, &n);
    break;
  case ACT_RELEASE:
    r = act_release(d->queue_fd, &n);
    break;
  case ACT_RETRY:
    r = act_retry(d->queue_fd, &n);
    break;
  case ACT_BOUNCE:
    r = act_bounce(d->queue_fd, &n, text, &failed);
    break;
  default:
    r = act_remove(d->queue_fd, &n);
    break;
  }
  if (r == ACTED_DONE && has_index && a == ACT_REMOVE)
    waiting_drop(waiting_find(id));
  else if (r == ACTED_DONE && has_index)
    waiting_moved(waiting_find(id), &n);
  return r;
}

static enum acted act_on_path(struct desk *d, enum act a, const char *path, const char *why)
{
  if (a == ACT_ADOPT)
    return ACTED_NOTHING; /* the next start finds it */
  if ((a == ACT_MEND ? survey_mend(d->queue_fd, path) : survey_aside(d->queue_fd, path, why)) == 0)
    return ACTED_DONE;
  return errno == ENOENT ? ACTED_NOTHING : ACTED_FAILED;
}

static int act_on_ids(struct desk *d, enum act a, const char *ids, const char *text, stralloc *letters)
{
  char id[STORE_ID_LEN + 1], letter;

  if (!has_index && strlen(ids) > INDEX_FROM * (STORE_ID_LEN + 1))
    make_index();
  while (*ids) {
    size_t len = strcspn(ids, " ");
    snprintf(id, sizeof id, "%.*s", (int)len, ids);
    letter = len == STORE_ID_LEN ? (char)act_on(d, a, id, text) : ACTED_UNKNOWN;
    if (!stralloc_catb(letters, &letter, 1))
      return -1;
    ids += len;
    ids += *ids == ' ';
  }
  return 0;
}

/* what stands at a path may be anybody's: to put that right takes root */
static int act_down(struct desk *d, enum act a, const char *ids, const char *text, stralloc *letters)
{
  char letter;
  int r;

  if (a >= ACT_ASIDE) {
    letter = (char)act_on_path(d, a, ids, text);
    return stralloc_catb(letters, &letter, 1) ? 0 : -1;
  }
  if (become_owner(d) != 0)
    return EXIT_NOPERM;
  r = act_on_ids(d, a, ids, text, letters);
  become_caller();
  return r;
}

/* ---- either way */

static int open_down(struct desk *d, int lock)
{
  const char *bad;

  d->lock = lock;
  d->tables_fd = instance_open_tables(d->instance);
  d->tables = d->tables_fd < 0 ? NULL : table_open(d->tables_fd);
  if (d->tables)
    settings_load(d->tables, &bad);
  d->queue_fd = queue_fd = open(d->instance->queue, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (queue_fd >= 0)
    return 0;
  fprintf(stderr, "heloise: %s: %s\n", d->instance->queue, strerror(errno));
  return errno == EACCES ? EXIT_NOPERM : EXIT_CONFIG;
}

int desk_open(struct desk *d, const struct instance *i)
{
  const struct timespec pause = {0, 100000000};

  *d = (struct desk){i, -1, -1, -1, -1, NULL};
  for (int tries = 0; tries < STARTING_TRIES; tries++) {
    int lock = -1;
    d->sock = connect_control(i);
    if (d->sock >= 0)
      return 0;
    if (errno == ENOENT || errno == ECONNREFUSED) {
      lock = queue_lock(i);
      if (lock >= 0)
        return open_down(d, lock);
    }
    if (errno != EWOULDBLOCK)
      break;
    nanosleep(&pause, NULL);
  }
  if (errno != EACCES)
    return unanswered();
  fprintf(stderr, "heloise: %s: %s; try as root or as the instance's owner\n", i->run,
          strerror(errno));
  return EXIT_NOPERM;
}

void desk_close(struct desk *d)
{
  table_close(d->tables);
  for (size_t i = 0; i < 4; i++) {
    int fd = (const int[]){d->sock, d->queue_fd, d->tables_fd, d->lock}[i];
    if (fd >= 0)
      close(fd);
  }
}

int desk_look(struct desk *d, int argc, const char *const *argv, const struct desk_sink *to)
{
  int code;

  if (d->sock < 0)
    return look_down(d, argc, argv, to);
  code = look_up(d->instance, argc, argv, to);
  return code < 0 ? unanswered() : code;
}

static int act_up(struct desk *d, enum act a, const char *ids, const char *text, stralloc *letters)
{
  static const struct desk_sink to = {catch, NULL, NULL};
  struct wire_out o;
  struct wire_msg m;
  int code;

  wire_start(&o, WIRE_ACT);
  wire_str(&o, act_word(a));
  wire_str(&o, ids);
  wire_str(&o, text);
  chan_send_blocking(d->sock, &o, -1); /* who may not ask is told so before the question */
  while (chan_recv_blocking(d->sock, LINK_COMMAND, WIRE_LOW, ANSWER_MS, &m) == 1) {
    if (m.type == WIRE_ACTED)
      return stralloc_catb(letters, m.f[0].s, m.f[0].len) ? 0 : EXIT_TEMPFAIL;
    if (m.type != WIRE_TEXT && take_answer(&m, &to, &code) != 0)
      return code;
  }
  return unanswered();
}

int desk_act(struct desk *d, enum act a, const char *ids, const char *text, stralloc *letters)
{
  int r = stralloc_copys(letters, "") ? 0 : EXIT_TEMPFAIL;

  if (r == 0)
    r = d->sock >= 0 ? act_up(d, a, ids, text, letters) : act_down(d, a, ids, text, letters);
  if (r == 0 && !stralloc_0(letters))
    r = -1;
  if (r >= 0)
    return r;
  fputs("heloise: out of memory\n", stderr);
  return EXIT_TEMPFAIL;
}

/* ---- an archive */

static int import_up(struct desk *d, int json, const struct desk_sink *to,
                     long (*read_some)(void *arg, char *buf, size_t len), void *arg)
{
  static const char *const request[] = {"import", "-", "--json"};
  static char buf[PIECE];
  struct wire_out o;
  long n;
  int code;

  send_request(d->sock, json ? 3 : 2, request);
  do {
    n = read_some(arg, buf, sizeof buf);
    wire_start(&o, WIRE_PIECE);
    wire_bytes(&o, buf, n > 0 ? (size_t)n : 0);
  } while (chan_send_blocking(d->sock, &o, -1) == 0 && n > 0);
  code = read_answers(d->sock, to);
  return code < 0 ? unanswered() : code;
}

static void on_imported(void *arg, const struct store_name *n)
{
  (void)arg;
  waiting_add(n);
}

static int import_down(struct desk *d, int json, const struct desk_sink *to,
                       long (*read_some)(void *arg, char *buf, size_t len), void *arg)
{
  static char buf[PIECE];
  struct import *in;
  struct inspect_view v = {.queue_fd = d->queue_fd, .only = INSPECT_ALL, .each = each,
                           .find = find, .print = to->print, .arg = to->arg};
  long n = 0;
  int code;

  if (become_owner(d) != 0)
    return EXIT_NOPERM;
  store_sweep(d->queue_fd); /* as the intake does when it starts */
  make_index();
  in = import_begin(&v, json, on_imported, NULL);
  while (in && (n = read_some(arg, buf, sizeof buf)) > 0 && import_feed(in, buf, (size_t)n) == 0)
    ;
  code = import_end(in);
  become_caller();
  return code;
}

int desk_import(struct desk *d, int json, const struct desk_sink *to,
                long (*read_some)(void *arg, char *buf, size_t len), void *arg)
{
  return (d->sock >= 0 ? import_up : import_down)(d, json, to, read_some, arg);
}
