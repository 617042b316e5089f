/* program.c - what every libexec program does alike
 *
 * The control channel's other end is `heloise run`, which is trusted. */
#include "common/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/chan.h"
#include "common/log.h"
#include "common/settings.h"
#include "common/verdict.h"

static const struct program *self;
static struct chan control;
static struct table *table;
static int has_started;

const struct table *program_table(void)
{
  return table;
}

void program_done(void)
{
  loop_end();
}

void program_fault(const char *peer, const char *why)
{
  struct wire_out o;

  log_fault(self->name, peer, why);
  wire_start(&o, WIRE_FAULT);
  wire_str(&o, peer);
  wire_str(&o, why);
  chan_send(&control, &o, -1);
}

void program_die(const char *what, const char *why)
{
  log_failed(self ? self->name : "-", what, why);
  exit(EXIT_SOFTWARE);
}

static int take_hello(struct wire_msg *m, const char *name, int fd)
{
  uint64_t version;

  (void)fd;
  if (wire_get_num(m, 0, 1000, &version) != 0 || version != WIRE_VERSION ||
      strcmp(name, self->name) != 0)
    program_die("start", "heloise run is of another version than this program");
  return 0;
}

static int take_table(int fd)
{
  struct table *old = table, *fresh = table_open(fd);
  const char *bad;

  close(fd);
  if (!fresh)
    program_die("tables", strerror(errno));
  if (settings_load(fresh, &bad) != 0)
    program_die("setting", bad);
  table = fresh;
  if (self->table && self->table(fresh) != 0)
    return -1;
  table_close(old);
  return 0;
}

static int take_start(void)
{
  struct wire_out o;

  if (self->start && self->start() != 0)
    return -1;
  has_started = 1;
  wire_start(&o, WIRE_READY);
  return chan_send(&control, &o, -1);
}

static void take_stop(void)
{
  if (self->stop && has_started)
    self->stop();
  else
    program_done();
}

static int dispatch(struct wire_msg *m, const char *a, const char *b)
{
  int fd = m->fd;

  m->fd = -1;
  switch (m->type) {
  case WIRE_HELLO:
    return take_hello(m, b, fd);
  case WIRE_DIR:
    return self->dir ? self->dir(a, fd) : close(fd);
  case WIRE_TABLE:
    return take_table(fd);
  case WIRE_LOGINS:
    return self->logins ? self->logins(fd) : close(fd);
  case WIRE_LISTEN:
    return self->listen ? self->listen(a, b, fd) : close(fd);
  case WIRE_CHANNEL:
    return self->channel ? self->channel(a, fd) : close(fd);
  case WIRE_CERTIFICATES:
    return self->certificates ? self->certificates(fd) : close(fd);
  case WIRE_TICKETKEY:
    return self->ticket_key ? self->ticket_key(a, b) : 0;
  case WIRE_START:
    return take_start();
  default: /* WIRE_STOP: wire_decode() lets no other through */
    take_stop();
    return 0;
  }
}

static int on_message(struct chan *c, struct wire_msg *m, const char **why)
{
  char text[2][256] = {"", ""};

  (void)c;
  for (size_t i = 0; i < m->n && i < 2; i++) {
    *why = "field too long";
    if (m->f[i].len >= sizeof text[i])
      return -1;
    memcpy(text[i], m->f[i].s, m->f[i].len);
  }
  if (dispatch(m, text[0], text[1]) != 0)
    program_die(wire_name(m->type), strerror(errno));
  explicit_bzero(text, sizeof text);
  return 0;
}

static void on_closed(struct chan *c, const char *why)
{
  (void)c;
  if (why)
    program_die("control channel", why);
  loop_end(); /* run is gone: so are we */
}

static const struct chan_ops ops = {on_message, on_closed, NULL};

/* descriptors 0, 1 and 2 are always something, so that no file of ours becomes one */
static void fill_standard_fds(void)
{
  struct stat st;

  for (int fd = 0; fd < 3; fd++)
    if (fstat(fd, &st) != 0 && errno == EBADF) {
      int got = open("/dev/null", O_RDWR);
      (void)got;
    }
}

int program_main(const struct program *p, int argc, char **argv)
{
  static const int ignored[] = {SIGPIPE, SIGINT, SIGHUP, SIGXFSZ};
  struct stat st;

  self = p;
  if (argc > 1 || fstat(PROGRAM_CONTROL_FD, &st) != 0 || !S_ISSOCK(st.st_mode)) {
    fprintf(stderr, "%s: started by `heloise run`, not by hand; see heloise(8)\n", argv[0]);
    return EXIT_USAGE;
  }
  fill_standard_fds();
  for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
    signal(ignored[i], SIG_IGN);
  umask(077);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_NAME, p->name);
  if (fcntl(PROGRAM_CONTROL_FD, F_SETFD, FD_CLOEXEC) != 0 ||
      chan_open(&control, PROGRAM_CONTROL_FD, LINK_CONTROL, WIRE_LOW, &ops) != 0)
    program_die("control channel", strerror(errno));
  loop_run();
  return EXIT_OK;
}
