/* succession.c - the life of an attempt's process
 *
 * Runs in a stem's children: user hldeliver, network only. The spawner, at the other end of REPORT,
 * is trusted. While a connection is kept the peer may say what it likes: it is read by the next
 * attempt, if there is one. */
#include "deliver/succession.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/chan.h"
#include "common/log.h"
#include "deliver/client.h"
#include "deliver/heir.h"
#include "deliver/report.h"

#define WAKES 64 /* how often a peer may send what only TLS sees, while its connection is kept */

struct job {
  stralloc id, nexthop, ranges; /* bounds: 31 bytes, 512, 16 KB */
  unsigned int tries;
  uint64_t created;
  int message;
};

static void close_others(const int *keep, size_t n)
{
  unsigned int from = 0;

  for (size_t done = 0; done < n; done++) {
    unsigned int least = ~0U;
    for (size_t i = 0; i < n; i++)
      if (keep[i] >= 0 && (unsigned int)keep[i] >= from && (unsigned int)keep[i] < least)
        least = (unsigned int)keep[i];
    if (least == ~0U)
      break;
    if (least > from)
      close_range(from, least - 1, 0);
    from = least + 1;
  }
  close_range(from, ~0U, 0);
}

static int read_job(const struct wire_msg *m, struct job *j)
{
  uint64_t tries;

  j->created = 0;
  if (wire_get_text(m, 0, ENVELOPE_ID_MAX, &j->id) != 0 ||
      wire_get_text(m, 1, 512, &j->nexthop) != 0 ||
      wire_get_num(m, 2, UINT32_MAX / 2, &tries) != 0 ||
      wire_get_text(m, 3, 16384, &j->ranges) != 0 ||
      (m->n > 4 && wire_get_num(m, 4, UINT64_MAX, &j->created) != 0))
    return -1;
  j->tries = (unsigned int)tries;
  j->message = m->fd;
  return 0;
}

/* until there is a JOB: 1, or 0 when there will be none. The end of ASK, if one comes, in *ask. */
static int wait_for_job(int report, int *ask, struct job *j)
{
  struct wire_msg m;

  for (;;) {
    if (chan_recv_blocking(report, LINK_REPORT, WIRE_LOW, -1, &m) != 1)
      return 0;
    if (m.type == WIRE_ANSWERS)
      *ask = m.fd;
    else
      return m.type == WIRE_JOB && read_job(&m, j) == 0;
  }
}

/* while the connection is kept: tells the spawner when the peer speaks or goes, whoever is asked for
 * a job then */
static void watch(int report, struct session *kept)
{
  struct pollfd p[] = {{.fd = report, .events = POLLIN}, {.fd = kept->conn.fd, .events = POLLIN}};

  for (int wakes = 0; poll(p, 2, -1) >= 0 || errno == EINTR; wakes++) {
    if (p[0].revents)
      return;
    if (p[1].revents && (wakes == WAKES || !conn_is_quiet(&kept->conn))) {
      report_left(report);
      return;
    }
  }
}

static struct attempt_given given;
static struct session s = {.conn = {.fd = -1}};
static struct job job;

/* with a job: to the end of it, and of this process */
static _Noreturn void live(void)
{
  static stralloc born; /* bound: a few bytes */
  int code;

  given.id = job.id.s;
  given.nexthop = job.nexthop.s;
  given.ranges = job.ranges.s;
  given.tries = job.tries;
  given.created = job.created;
  given.message = job.message;
  code = attempt_run(&given, &s);
  if (s.conn.fd >= 0) {
    close(given.message);
    watch(given.report, &s);
    if (wait_for_job(given.report, &given.ask, &job)) {
      if (report_born_packet(&born) == 0)
        heir_follow(live, given.report, born.s, born.len);
      log_failed("attempt", "bear the next one", strerror(errno));
      _exit(1); /* the job is another process' */
    }
    client_leave(&s);
  }
  _exit(code); /* not exit(): nothing of TLS is to be said or undone */
}

_Noreturn void succession_run(const struct attempt_given *stem)
{
  const int keep[] = {STDERR_FILENO, stem->report, peers_descriptor(stem->peers),
                      offers_descriptor(stem->offers)};

  prctl(PR_SET_NAME, "attempt");
  close_others(keep, sizeof keep / sizeof *keep);
  given = *stem;
  given.ask = -1;
  if (wait_for_job(given.report, &given.ask, &job))
    live();
  _exit(0);
}
