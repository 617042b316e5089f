/* run.c - `heloise run`: the supervisor
 *
 * As root in a privileged instance, else as the instance's owner. Takes the instance's
 * lock, binds the ports, starts the programs, starts again what dies, hands out new tables.
 * It reads nothing that comes from the network. */
#include "conf/run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/confine.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/settings.h"
#include "common/table.h"
#include "common/verdict.h"
#include "conf/certificates.h"
#include "conf/children.h"
#include "conf/flush.h"
#include "conf/init.h"
#include "conf/listen.h"
#include "conf/status.h"
#include "smtpd/census.h"
#include "smtpd/limits.h"

#define LOCK_PATIENCE 20  /* times 50 ms: a queue command may hold the lock for a moment */
#define BIND_PATIENCE 40  /* times 50 ms: an instance that was killed lets go of its ports */
#define LISTEN_RETRIES 10 /* seconds after a reload in which a port may become free */

static const struct instance *instance;
static struct supplies supplies = {-1, -1, -1, -1, -1, -1, -1, -1, -1, 0};
static int rundir = -1, controldir = -1;
static time_t since;
static int is_changed;
static struct loop_timer listen_timer;
static int listen_tries;

/* complains to the person who started us */
static int refuse(int code, const char *what, const char *why)
{
  fprintf(stderr, "heloise: run: %s: %s\n", what, why);
  return code;
}

/* ---- before the start */

static int take_lock(void)
{
  int fd;

  if (mkdir(instance->run, 0755) != 0 && errno != EEXIST)
    return refuse(EXIT_NOPERM, instance->run, strerror(errno));
  rundir = open(instance->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  fd = rundir < 0 ? -1 : openat(rundir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0)
    return refuse(EXIT_NOPERM, instance->run, strerror(errno));
  for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; i++) {
    if (i == LOCK_PATIENCE)
      return refuse(EXIT_TEMPFAIL, instance->run,
                    "this instance is running already (`heloise status` shows it)");
    usleep(50000);
  }
  return EXIT_OK; /* the descriptor stays open: the lock ends with us */
}

/* opens the tables and loads the settings: a descriptor; -1 with *why */
static int open_tables(struct table **t, const char **why)
{
  int fd = instance_open_tables(instance);

  *why = "there are none; `heloise build` makes them";
  if (fd < 0) {
    if (errno != ENOENT)
      *why = strerror(errno);
    return -1;
  }
  *why = "damaged, or made by another version; `heloise build` makes them anew";
  *t = table_open(fd);
  if (*t && settings_load(*t, why) == 0)
    return fd;
  table_close(*t);
  close(fd);
  return -1;
}

static int open_dir(const char *path, int *fd)
{
  *fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return *fd < 0 ? refuse(EXIT_CONFIG, path, strerror(errno)) : EXIT_OK;
}

static int bind_ports(const struct table *t)
{
  for (int i = 0; i < BIND_PATIENCE; i++) {
    if (listen_sync(t, instance->run, NULL, 0) == 0)
      return EXIT_OK;
    usleep(50000);
  }
  if (listen_sync(t, instance->run, NULL, 1) == 0)
    return EXIT_OK;
  return refuse(EXIT_UNAVAILABLE, "table listen",
                "these addresses cannot be had; is another mail server running? (ports below "
                "1024 need root)");
}

static int open_all(void)
{
  struct table *t = NULL;
  const char *why;
  int r;

  supplies.tables = open_tables(&t, &why);
  if (supplies.tables < 0)
    return refuse(EXIT_CONFIG, "the compiled tables", why);
  supplies.logins = instance_open_logins(instance);
  r = bind_ports(t);
  if (r == EXIT_OK)
    r = open_dir(instance->control, &controldir);
  if (r == EXIT_OK)
    certificates_load(t, controldir);
  table_close(t);
  if (r == EXIT_OK)
    r = open_dir(instance->queue, &supplies.queue);
  /* a power cut must not take the whole queue, whoever made its directory */
  if (r == EXIT_OK && flush_parent(supplies.queue) != 0)
    r = refuse(EXIT_IOERR, instance->queue, strerror(errno));
  if (r == EXIT_OK)
    r = open_dir(instance->state, &supplies.state);
  if (r == EXIT_OK)
    r = open_dir(instance->mail, &supplies.mail);
  if (r == EXIT_OK)
    r = open_dir(instance_libexec(), &supplies.libexec);
  if (r != EXIT_OK)
    return r;
  supplies.census = census_make();
  supplies.limits = limits_make();
  if (supplies.census < 0 || supplies.limits < 0)
    return refuse(EXIT_OSERR, "memory to share", strerror(errno));
  supplies.control = listen_control(instance->run);
  return supplies.control < 0 ? refuse(EXIT_CANTCREAT, "run/control", strerror(errno)) : EXIT_OK;
}

static void warn(void)
{
  if (!supplies.is_privileged)
    log_warning("run", "privilege separation is off: all programs run as the instance's owner");
  if (!confine_has_landlock())
    log_warning("run", "this kernel has no Landlock: programs are confined by users and "
                       "seccomp alone");
  if (!listeners)
    log_warning("run", "table listen is empty: no mail is taken from the network");
}

/* ---- while it runs */

static void on_change(void)
{
  is_changed = 1;
}

static void after_turn(void)
{
  if (!is_changed)
    return;
  is_changed = 0;
  status_write(rundir, since, supplies.tables);
}

/* opens what table listen names and is not open yet; a port may still be with a session
 * or with a socket that was closed just now, so this is tried for a while */
static void sync_listeners(struct loop_timer *timer)
{
  struct table *t = table_open(supplies.tables);
  unsigned int failed;

  (void)timer;
  listen_tries++;
  failed = t ? listen_sync(t, instance->run, children_new_listener, listen_tries == LISTEN_RETRIES) : 1;
  table_close(t);
  if (failed > 0 && listen_tries < LISTEN_RETRIES)
    loop_timer_in(&listen_timer, 1000);
}

static void reload(void)
{
  struct table *t = NULL;
  const char *why;
  int fd = open_tables(&t, &why);

  if (fd < 0) {
    log_failed("run", "reload", why);
    return;
  }
  close(supplies.tables);
  supplies.tables = fd;
  certificates_load(t, controldir);
  table_close(t);
  if (supplies.logins >= 0)
    close(supplies.logins);
  supplies.logins = instance_open_logins(instance);
  children_new_tables();
  children_new_certificates();
  listen_tries = 0;
  sync_listeners(&listen_timer);
  log_reloaded("run", "tables");
  on_change();
}

static void on_signal(struct loop_handler *h, int fd, int events)
{
  struct signalfd_siginfo s;

  (void)h;
  (void)events;
  while (read(fd, &s, sizeof s) == (ssize_t)sizeof s) {
    if (s.ssi_signo == SIGCHLD) {
      children_reap();
    } else if (s.ssi_signo == SIGHUP) {
      reload();
    } else {
      log_stopped("run", s.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
      children_stop();
    }
  }
  loop_drained(fd, LOOP_READ);
}

static int watch_signals(void)
{
  static struct loop_handler handler = {on_signal};
  sigset_t set;
  int fd;

  signal(SIGPIPE, SIG_IGN); /* nobody need read our standard error */
  signal(SIGXFSZ, SIG_IGN);
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, SIGHUP);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  fd = sigprocmask(SIG_BLOCK, &set, NULL) != 0 ? -1 : signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0 || loop_add(fd, &handler) != 0)
    return -1;
  loop_want(fd, LOOP_READ);
  return 0;
}

/* descriptors 0, 1 and 2 are something, so that no socket of ours becomes one */
static void fill_standard_fds(void)
{
  int fd;

  do
    fd = open("/dev/null", O_RDWR);
  while (fd >= 0 && fd < 3);
  close(fd);
}

int run_command(const struct instance *i, int argc, char **argv)
{
  int r;

  if (argc > 1) {
    fprintf(stderr, "usage: heloise [-C DIR] %s\n", argv[0]);
    return EXIT_USAGE;
  }
  instance = i;
  since = time(NULL);
  fill_standard_fds();
  umask(077);
  confine_descriptors(65536);
  supplies.is_privileged = geteuid() == 0;
  if (supplies.is_privileged && !init_has_users())
    return EXIT_CONFIG;
  r = take_lock();
  if (r == EXIT_OK)
    r = open_all();
  if (r != EXIT_OK)
    return r;
  if (watch_signals() != 0)
    return refuse(EXIT_OSERR, "signals", strerror(errno));
  confine_secrecy();
  warn();
  listen_timer.fire = sync_listeners;
  loop_after_turn(after_turn);
  r = children_start(&supplies, on_change);
  if (r == EXIT_OK)
    loop_run();
  listen_forget(instance->run);
  unlinkat(rundir, "control", 0);
  unlinkat(rundir, "status", 0);
  return r;
}
