/* command.c - `heloise queue ...`
 *
 * Runs as the caller. With the daemon up the manager does the work (run/control); while it is
 * down the command takes the instance's lock and works on the queue itself. */
#include "queue/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/chan.h"
#include "common/log.h"
#include "common/verdict.h"
#include "queue/envelope.h"
#include "queue/inspect.h"
#include "queue/store.h"
#include "queue/transcript.h"

#define ANSWER_MS 60000
#define STARTING_TRIES 50 /* of 100 ms: the lock is held, the control socket not yet there */

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

  wire_start(&o, WIRE_REQUEST);
  for (int i = 0; i < argc; i++)
    wire_str(&o, argv[i]);
  return chan_send_blocking(sock, &o, -1);
}

/* passes answers to out (NULL: prints them). The exit code, or -1 when none came. */
static int read_answers(int sock, stralloc *out)
{
  struct wire_msg m;
  uint64_t code;

  while (chan_recv_blocking(sock, LINK_COMMAND, WIRE_LOW, ANSWER_MS, &m) == 1) {
    if (m.type == WIRE_EXITED)
      return wire_get_num(&m, 0, 255, &code) == 0 ? (int)code : -1;
    if (m.type == WIRE_TEXT && out) {
      if (!stralloc_catb(out, m.f[0].s, m.f[0].len))
        return -1;
    } else if (fwrite(m.f[0].s, 1, m.f[0].len, m.type == WIRE_TEXT ? stdout : stderr) != m.f[0].len) {
      return EXIT_IOERR;
    }
  }
  return -1;
}

static int ask(const struct instance *i, int argc, const char *const *argv, stralloc *out, int *code)
{
  int sock = connect_control(i);

  if (sock < 0)
    return errno == ENOENT || errno == ECONNREFUSED ? 0 : -1;
  send_request(sock, argc, argv); /* who may not ask is told so before the question */
  *code = read_answers(sock, out);
  close(sock);
  errno = EIO;
  return *code < 0 ? -1 : 1;
}

int queue_ask(const struct instance *i, int argc, const char *const *argv, stralloc *out, int *code)
{
  return stralloc_copys(out, "") ? ask(i, argc, argv, out, code) : -1;
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

static int queue_fd = -1;

struct visit {
  int (*f)(void *arg, const struct inspect_message *m);
  void *arg;
};

static void inspect_of(const struct store_name *n, struct inspect_message *m)
{
  m->name = *n;
  m->is_active = 0;
  m->due = n->state == STORE_HOLD ? UINT32_MAX : n->next;
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

static int find(const char *id, struct inspect_message *m)
{
  struct store_name n;

  if (store_find(queue_fd, id, &n) != 0)
    return -1;
  inspect_of(&n, m);
  return 0;
}

static int print(void *arg, const char *s, size_t len, int error)
{
  (void)arg;
  return fwrite(s, 1, len, error ? stderr : stdout) == len ? 0 : -1;
}

/* makes a message due now, for all its recipients; 1 when it did */
static int hurry(const struct store_name *found)
{
  struct store_name n = *found;
  struct envelope e;
  const char *why;
  int fd, r = 0;

  if (n.state == STORE_FLIGHT)
    return 1; /* never tried: it is the first to be */
  fd = store_open(queue_fd, &n, O_RDWR);
  if (fd < 0)
    return 0;
  if (envelope_read(fd, &e, &why) == 0) {
    for (size_t i = 0; i < e.nrcpt; i++)
      if (e.rcpt[i].status == RCPT_TODO && e.rcpt[i].next != 0) {
        e.rcpt[i].next = 0;
        r |= envelope_mark(fd, &e, i);
      }
    envelope_free(&e);
    if (r == 0 && n.state != STORE_NEW)
      r = store_move(queue_fd, &n, STORE_CUR, (uint32_t)time(NULL), n.hop);
    r = r == 0;
  }
  close(fd);
  return r;
}

struct hurrying {
  const char *domain; /* NULL: all */
  unsigned long n;
};

static int hurry_one(void *arg, const struct inspect_message *m)
{
  struct hurrying *h = arg;

  if (!h->domain || inspect_concerns(queue_fd, &m->name, h->domain))
    h->n += (unsigned long)hurry(&m->name);
  return 0;
}

static int retry(const struct inspect_view *v, int argc, const char *const *argv)
{
  const char *what = argc > 1 ? argv[1] : "all";
  struct hurrying h = {strcmp(what, "all") == 0 ? NULL : what, 0};
  struct inspect_message m;

  if (argc > 2) {
    inspect_say(v, 1, "usage: heloise queue retry [ID|DOMAIN|all]\n");
    return EXIT_USAGE;
  }
  if (find(what, &m) == 0) {
    h.n = (unsigned long)hurry(&m.name);
  } else if (store_is_id(what, strlen(what))) {
    inspect_say(v, 1, "heloise: no such message is in the queue\n");
    return EXIT_DATA;
  } else {
    each(hurry_one, &h);
  }
  inspect_say(v, 0, "%lu message%s tried as soon as Heloise runs.\n", h.n,
              h.n == 1 ? " is" : "s are");
  return EXIT_OK;
}

static int remove_message(const struct inspect_view *v, int argc, const char *const *argv)
{
  struct inspect_message m;

  if (argc != 2) {
    inspect_say(v, 1, "usage: heloise queue remove ID\n");
    return EXIT_USAGE;
  }
  if (find(argv[1], &m) != 0) {
    inspect_say(v, 1, "heloise: no such message is in the queue\n");
    return EXIT_DATA;
  }
  if (store_remove(queue_fd, &m.name) != 0) {
    inspect_say(v, 1, "heloise: %s: %s\n", argv[1], strerror(errno));
    return EXIT_IOERR;
  }
  transcript_left(queue_fd, argv[1]);
  inspect_say(v, 0, "Removed.\n");
  return EXIT_OK;
}

static const struct {
  const char *verb, *help;
  int (*offline)(const struct inspect_view *v, int argc, const char *const *argv);
} verbs[] = {
  {"list", "list [--json]                every message, its state and its recipients", NULL},
  {"show", "show ID [--json]             one message: envelope and history\n"
           "  show ID --transcript [N]     what was said in its attempts, or in attempt N", NULL},
  {"why", "why ID [--json]              why it is still here, and what happens next", NULL},
  {"retry", "retry [ID|DOMAIN|all]        try it now", retry},
  {"remove", "remove ID                    throw it away; nobody is told", remove_message},
};

static int usage(void)
{
  fputs("usage: heloise [-C DIR] queue VERB\n\n", stderr);
  for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
    fprintf(stderr, "  %s\n", verbs[i].help);
  return EXIT_USAGE;
}

static int work_offline(const struct instance *i, size_t verb, int argc, const char *const *argv)
{
  struct inspect_view v = {.each = each, .find = find, .print = print};
  int tables = instance_open_tables(i), code;
  struct table *t = tables < 0 ? NULL : table_open(tables);

  queue_fd = open(i->queue, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (queue_fd < 0) {
    fprintf(stderr, "heloise: %s: %s\n", i->queue, strerror(errno));
    return errno == EACCES ? EXIT_NOPERM : EXIT_CONFIG;
  }
  v.queue_fd = queue_fd;
  v.tables = t;
  code = verbs[verb].offline ? verbs[verb].offline(&v, argc, argv) : inspect_run(&v, argc, argv);
  table_close(t);
  close(queue_fd);
  if (tables >= 0)
    close(tables);
  return code;
}

int queue_command(const struct instance *i, int argc, char **argv)
{
  const char *const *args = (const char *const *)++argv;
  size_t verb = 0;
  int code, lock, r = 0;

  argc--;
  while (verb < sizeof verbs / sizeof *verbs && (argc < 1 || strcmp(verbs[verb].verb, argv[0]) != 0))
    verb++;
  if (verb == sizeof verbs / sizeof *verbs || argc > WIRE_FIELDS)
    return usage();
  for (int tries = 0; tries < STARTING_TRIES; tries++) {
    struct timespec pause = {0, 100000000};
    r = ask(i, argc, args, NULL, &code);
    if (r == 1)
      return fflush(stdout) == 0 ? code : EXIT_IOERR;
    lock = r == 0 ? queue_lock(i) : -1;
    if (lock >= 0) {
      code = work_offline(i, verb, argc, args);
      close(lock);
      return fflush(stdout) == 0 ? code : EXIT_IOERR;
    }
    if (r < 0 || errno != EWOULDBLOCK)
      break;
    nanosleep(&pause, NULL);
  }
  if (errno == EACCES) {
    fprintf(stderr, "heloise: %s: %s; try as root or as the instance's owner\n", i->run,
            strerror(errno));
    return EXIT_NOPERM;
  }
  fputs("heloise: the queue manager does not answer; see the log of `heloise run`\n", stderr);
  return EXIT_TEMPFAIL;
}
