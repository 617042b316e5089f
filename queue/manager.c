/* manager.c - program heloise-queue: the manager of the queue
 *
 * Runs as hlqueue with the queue directory; no network. Knows every message by name, takes
 * up what is due, has attempts made, records what they say. heloise-queue(8) */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/chan.h"
#include "common/confine.h"
#include "common/log.h"
#include "common/program.h"
#include "common/retry.h"
#include "common/settings.h"
#include "common/units.h"
#include "queue/clock.h"
#include "queue/control.h"
#include "queue/endings.h"
#include "queue/flush.h"
#include "queue/line.h"
#include "queue/reports.h"
#include "queue/schedule.h"
#include "queue/spawners.h"
#include "queue/store_flight.h"
#include "queue/transcript.h"
#include "queue/waiting.h"
#include "queue/work.h"

#define HOUR_MS 3600000
#define SCAN_AGAIN_MS 5000
#define REPLAY_AGAIN_MS 30000
#define FILED_AT_ONCE 50 /* in one turn, on the intake's word */
#define LOOK_AGAIN_MS 30000 /* at least this often: slow corrections of the clock add up */

static int queue_fd = -1, libexec_fd = -1, control_fd = -1;
static struct chan intake = {.fd = -1};
static struct loop_timer timer, scan_timer, replay_timer, refile_timer, sweeper;
static unsigned int to_file; /* segments whose messages the intake wants filed */
static uint32_t file_at;     /* so far */
static int has_filed;        /* in this round */

/* ---- messages enter */

/* a time that no schedule could have given: the clock went wrong, then or now. It comes within
 * the longest gap there is, each at another moment */
static void bring_back(uint32_t h, const struct retry_bounds *b)
{
  uint64_t longest = b->longest > 2 * HOUR_MS / 1000 ? b->longest : 2 * HOUR_MS / 1000, soon;
  struct waiting *w = waiting_at(h);

  if (w->state != STORE_CUR || w->due == WAITING_NEVER || w->due <= clock_steady() + longest)
    return;
  soon = b->longest < HOUR_MS / 1000 ? b->longest : HOUR_MS / 1000;
  waiting_until(h, (uint32_t)(clock_steady() + 1 + h % (soon ? soon : 1)));
}

static int add_found(void *arg, const struct store_name *n)
{
  uint32_t h = waiting_find(n->id);

  if (h != WAITING_NONE)
    return 0;
  h = waiting_add(n);
  if (h == WAITING_NONE) {
    log_failed("queue", n->id, "out of memory; the message waits for the next start");
    return 0;
  }
  waiting_at(h)->is_unverified = 1;
  bring_back(h, arg);
  if (n->state == STORE_CUR && (n->hop & STORE_HELD))
    line_join(h, n->hop & ~(uint32_t)STORE_HELD, LINE_HELD);
  return 0;
}

/* reads the names of all messages; what could not be read is read again later: a message that
 * is known already stays as it is */
static void scan(void)
{
  struct retry_bounds bounds;
  int is_whole = 1;

  retry_bounds(program_table(), &bounds);
  for (int s = 0; s < STORE_DIRS; s++)
    if (store_scan(queue_fd, (enum store_state)s, 1, add_found, &bounds) != 0) {
      log_failed("queue", store_state_word((enum store_state)s), "cannot be read whole; read again soon");
      is_whole = 0;
    }
  if (!is_whole)
    loop_timer_in(&scan_timer, SCAN_AGAIN_MS);
}

static void on_scan_timer(struct loop_timer *t)
{
  (void)t;
  scan();
}

static void rescan_new(void)
{
  struct retry_bounds bounds;

  retry_bounds(program_table(), &bounds);
  if (store_scan(queue_fd, STORE_NEW, 1, add_found, &bounds) != 0)
    loop_timer_in(&scan_timer, SCAN_AGAIN_MS);
}

/* a message in the journal that is a file too: the file counts, if it is whole */
static void take_twin(uint32_t h, const struct store_name *in_journal)
{
  struct store_name file;

  waiting_name(h, &file);
  if (flight_twin(queue_fd, &file) != 0)
    return;
  line_leave(h);
  waiting_moved(h, in_journal);
  waiting_until(h, 0);
}

static int is_twin(const struct store_name *n)
{
  uint32_t h = waiting_find(n->id);

  if (h != WAITING_NONE)
    take_twin(h, n);
  return h != WAITING_NONE;
}

/* the journal says that it is done with, and a power cut brought its file back, whole or torn */
static void clear_leftover(const char *id)
{
  uint32_t h = waiting_find(id);
  struct store_name file;

  if (h == WAITING_NONE)
    return;
  waiting_name(h, &file);
  if (store_unlink(queue_fd, &file) != 0)
    return;
  log_swept(id, "done with, says the journal");
  waiting_drop(h);
}

static int take_flight(const struct store_name *n)
{
  if (is_twin(n))
    return 1;
  if (waiting_add(n) != WAITING_NONE)
    return 1;
  log_failed("queue", n->id, "out of memory; the message waits for the next start");
  return 0;
}

/* what the intake had no way to tell. It uses no part of the journal again before we have read
 * all of it. */
static void replay(struct loop_timer *t)
{
  struct wire_out o;

  if (flight_replay(queue_fd, take_flight, NULL) != 0) {
    log_failed("queue", "journal", "cannot be read whole; read again soon");
    loop_timer_in(t, REPLAY_AGAIN_MS);
    return;
  }
  wire_start(&o, WIRE_RESCANNED);
  if (chan_send(&intake, &o, -1) != 0 && chan_is_open(&intake))
    loop_timer_in(t, SCAN_AGAIN_MS);
}

/* "ID" or "ID SEGMENT OFFSET LENGTH" */
static int take_committed(const char *line, size_t len)
{
  struct store_name n = {.state = STORE_NEW};
  uint32_t h;
  struct flight f = {.id = ""};
  uint64_t number[3];
  const char *s = line + STORE_ID_LEN, *end = line + len;

  if (len < STORE_ID_LEN || !store_is_id(line, STORE_ID_LEN))
    return -1;
  memcpy(n.id, line, STORE_ID_LEN);
  for (int i = 0; s < end && i < 3; i++) {
    const char *space = memchr(s + 1, ' ', (size_t)(end - s - 1));
    const char *stop = space ? space : end;
    if (*s != ' ' || units_number(s + 1, (size_t)(stop - s - 1), &number[i]) != 0 ||
        number[i] > UINT32_MAX || (i < 2) != (space != NULL))
      return -1;
    s = stop;
    n.state = STORE_FLIGHT;
  }
  if (n.state == STORE_FLIGHT) {
    memcpy(f.id, n.id, STORE_ID_LEN);
    if (number[0] >= JOURNAL_SEGMENTS || number[2] > JOURNAL_SEGMENT_MAX)
      return -1;
    f.segment = (uint8_t)number[0];
    f.at = (uint32_t)number[1];
    f.len = (uint32_t)number[2];
    if (flight_committed(&f) == 1)
      return 0;
  }
  clock_look();
  h = waiting_add(&n);
  if (h != WAITING_NONE && !waiting_at(h)->is_active)
    waiting_at(h)->born = (uint32_t)clock_steady();
  else if (h == WAITING_NONE)
    log_failed("queue", n.id, "out of memory; the message waits for the next start");
  return 0;
}

static int on_committed(const struct wire_msg *m)
{
  const char *s = m->f[0].s, *end = s + m->f[0].len, *nl;

  for (; s < end; s = nl + 1) {
    nl = memchr(s, '\n', (size_t)(end - s));
    if (!nl || take_committed(s, (size_t)(nl - s)) != 0)
      return -1;
  }
  return 0;
}

static int on_news(struct chan *c, struct wire_msg *m, const char **why)
{
  uint64_t number;

  (void)c;
  switch (m->type) {
  case WIRE_COMMITTED:
    *why = "COMMITTED is malformed";
    return on_committed(m);
  case WIRE_FILE:
    *why = "not a segment";
    if (wire_get_num(m, 0, JOURNAL_SEGMENTS - 1, &number) != 0)
      return -1;
    to_file |= 1U << number;
    return 0;
  case WIRE_SETTLED:
    *why = "SETTLED what was not said";
    return wire_get_num(m, 0, INT64_MAX, &number) == 0 ? endings_settled(number) : -1;
  default: /* WIRE_RESCAN */
    rescan_new();
    replay(&replay_timer);
    return 0;
  }
}

static void on_intake_drained(struct chan *c)
{
  (void)c;
  endings_drained();
}

static void on_intake_closed(struct chan *c, const char *why)
{
  (void)c;
  if (why)
    program_fault("intake", why);
}

/* ---- messages are taken up */

static void arm(int is_more)
{
  uint32_t first = waiting_first();
  uint64_t due, ms = clock_steady_ms(), wait = to_file && refile_timer.place == 0 ? 0 : LOOK_AGAIN_MS;

  if (first != WAITING_NONE) {
    due = (uint64_t)waiting_at(first)->due * 1000;
    if (due <= ms)
      wait = 0;
    else if (due - ms < wait)
      wait = due - ms;
  }
  loop_timer_in(&timer, is_more ? 0 : wait);
}

static void look_at_clock(void)
{
  static uint16_t seen;
  char by[32];

  clock_look();
  if (clock_steps() == seen)
    return;
  snprintf(by, sizeof by, "%+lld s", (long long)clock_skew(seen));
  seen = clock_steps();
  log_clock_stepped("queue", by);
}

/* a few of the messages that stand in the way of the journal's next round become files */
static void file_some(void)
{
  struct store_name n;

  if (refile_timer.place != 0)
    return;
  for (int i = 0; to_file && i < FILED_AT_ONCE; i++) {
    uint32_t h;
    if (!flight_next(&file_at, to_file, &n)) {
      file_at = 0;
      to_file = has_filed ? to_file : 0; /* the table changes meanwhile: until none is found */
      has_filed = 0;
      return;
    }
    h = waiting_find(n.id);
    if (h == WAITING_NONE)
      continue;
    if (work_file(h) != 0) {
      log_failed("queue", n.id, strerror(errno));
      loop_timer_in(&refile_timer, SCAN_AGAIN_MS);
      return;
    }
    has_filed = 1;
  }
}

/* at the end of each turn: what is due becomes jobs, jobs that have a place start */
static void after_turn(void)
{
  int is_more;

  look_at_clock();
  file_some();
  is_more = work_turn();
  spawners_run();
  endings_send();
  transcript_flush(queue_fd, clock_wall());
  arm(is_more);
}

static void on_timer(struct loop_timer *t)
{
  (void)t; /* the turn that follows does it */
}

/* ---- transcripts are cleared, a directory at a time */

static int is_queued(const char *id)
{
  return store_is_id(id, strlen(id)) && waiting_find(id) != WAITING_NONE;
}

/* all of them within an eighth of the time they are kept, an hour at most, about a minute while they
 * take too much. Where the disk has no room for new ones, the older go early. */
static void sweep(struct loop_timer *t)
{
  uint64_t keep = settings.transcript_keep, round = keep / 8 < HOUR_MS ? keep / 8 : HOUR_MS;
  uint64_t wall = clock_wall(), steady = clock_steady();

  if (steady < wall) /* the clock was set forward: nothing is as old as it looks */
    wall = steady;
  if (!transcript_has_room(queue_fd))
    keep /= 8;
  transcript_sweep(queue_fd, wall > keep / 1000 ? wall - keep / 1000 : 0, is_queued);
  if (clearing_is_over(settings.transcript_size) && round > TRANSCRIPT_DIRS * 1000)
    round = TRANSCRIPT_DIRS * 1000;
  loop_timer_in(t, (round > 1000 ? round : 1000) / TRANSCRIPT_DIRS);
}

/* ---- what run hands over */

static int take_dir(const char *name, int fd)
{
  if (strcmp(name, "queue") == 0)
    queue_fd = fd;
  if (strcmp(name, "libexec") == 0) /* bounces are started from there */
    libexec_fd = fd;
  return 0;
}

static int take_listen(const char *addr, const char *service, int fd)
{
  (void)addr;
  if (strcmp(service, "control") == 0)
    control_fd = fd;
  return 0;
}

static int take_channel(const char *peer, int fd)
{
  static const struct chan_ops ops = {on_news, on_intake_closed, on_intake_drained};

  if (strcmp(peer, "deliver") == 0)
    return spawners_channel(WORK_DELIVER, fd);
  if (strcmp(peer, "local") == 0)
    return spawners_channel(WORK_LOCAL, fd);
  if (strcmp(peer, "intake") != 0)
    return close(fd);
  chan_close(&intake);
  loop_timer_stop(&replay_timer);
  endings_begin_again();
  return chan_open(&intake, fd, LINK_NEWS, WIRE_HIGH, &ops);
}

static int take_table(const struct table *t)
{
  (void)t;
  schedule_tables();
  return 0;
}

static int start(void)
{
  int dirs[2] = {queue_fd, libexec_fd};
  char waits[32];

  if (queue_fd < 0 || store_settle(queue_fd) != 0)
    program_die("queue directory", strerror(errno));
  if (confine_program("queue", dirs, libexec_fd >= 0 ? 2 : 1) != 0)
    return -1;
  clock_look();
  work_open(queue_fd);
  spawners_open(queue_fd);
  reports_open(&intake, queue_fd);
  endings_open(queue_fd, &intake);
  scan_timer.fire = on_scan_timer;
  replay_timer.fire = replay;
  refile_timer.fire = on_timer;
  scan();
  flight_replay(queue_fd, is_twin, clear_leftover); /* what is no file the intake will tell */
  if (control_fd >= 0 && control_listen(control_fd, queue_fd) != 0)
    return -1;
  if (flush_start(queue_fd, endings_filed) != 0)
    program_die("flushing thread", strerror(errno));
  timer.fire = on_timer;
  sweeper.fire = sweep;
  if (transcript_make(queue_fd) != 0)
    log_failed("queue", "transcript", strerror(errno));
  loop_timer_in(&sweeper, 1000);
  loop_after_turn(after_turn);
  snprintf(waits, sizeof waits, "%u messages wait", waiting_count());
  log_started("queue", waits);
  return 0;
}

int main(int argc, char **argv)
{
  static const struct program p = {.name = "queue",
                                   .dir = take_dir,
                                   .listen = take_listen,
                                   .channel = take_channel,
                                   .table = take_table,
                                   .start = start};

  return program_main(&p, argc, argv);
}
