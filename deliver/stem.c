/* stem.c - heloise-stem: the process that attempts are cloned from
 *
 * Started by heloise-deliver, as hldeliver. It makes ready what every attempt needs, once: tables,
 * TLS and the certificates trusted here, the filter; then it bears a child for each BIRTH and hears
 * nothing else, from nobody else: no attempt's memory has anything of another peer in it. A
 * program of its own, so that after an attempt has died by a signal the next ones lie elsewhere in
 * memory. heloise-deliver(8). */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/chan.h"
#include "common/confine.h"
#include "common/log.h"
#include "common/program.h"
#include "common/tls.h"
#include "deliver/heir.h"
#include "deliver/report.h"
#include "deliver/succession.h"

static struct attempt_given given;
static struct attempt_own own;
static struct chan births = {.fd = -1};

static int dir(const char *name, int fd)
{
  if (strcmp(name, "state") == 0) {
    given.peers = peers_read(fd);
    given.offers = offers_read(fd);
  }
  close(fd);
  return 0;
}

static int table(const struct table *t)
{
  attempt_own_find(t, &own);
  return 0;
}

/* the child never touches the event loop it inherited. One that cannot be told of would wait for its
 * job, and the job for it: both ends hear that nothing comes of it */
static int bear(int report)
{
  int process = -1, r;
  pid_t pid = heir_make(&process);

  if (pid == 0) {
    given.report = report;
    given.table = program_table();
    succession_run(&given);
  }
  if (pid < 0)
    return -1;
  r = report_born(report, process);
  if (r != 0)
    shutdown(report, SHUT_RDWR);
  close(process);
  return r;
}

static int on_birth(struct chan *c, struct wire_msg *m, const char **why)
{
  (void)c;
  (void)why;
  if (bear(m->fd) != 0)
    log_failed("stem", "bear an attempt", strerror(errno));
  return 0;
}

static void on_closed(struct chan *c, const char *why)
{
  (void)c;
  if (why)
    program_die("births", why);
  program_done();
}

static int channel(const char *peer, int fd)
{
  static const struct chan_ops ops = {on_birth, on_closed, NULL};

  (void)peer;
  return chan_open(&births, fd, LINK_BIRTHS, WIRE_LOW, &ops);
}

/* TLS first: it reads files. What that leaves behind in malloc's lists of small free pieces would
 * be joined by the first larger malloc() of each attempt, which would then copy all those pages:
 * it is done here, once. */
static int start(void)
{
  const char *why = "";

  tzset(); /* it would read a file at the first time that is written in words */
  if (tls_client_prepare(&why) != 0)
    log_failed("stem", "TLS, going on without", why);
#ifdef __GLIBC__
  malloc_trim(0);
#endif
  given.own = &own;
  return confine_attempt();
}

int main(int argc, char **argv)
{
  static const struct program p = {.name = "stem", .dir = dir, .table = table, .channel = channel,
                                   .start = start};

  return program_main(&p, argc, argv);
}
