/* news.c - messages enter: what the intake tells, and what is found in the queue
 *
 * Runs in the manager. The intake is trusted less than we are: places in the journal are proved
 * when they are read. */
#include "queue/news.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/program.h"
#include "common/retry.h"
#include "common/units.h"
#include "queue/clock.h"
#include "queue/endings.h"
#include "queue/line.h"
#include "queue/names.h"
#include "queue/store_flight.h"
#include "queue/tally.h"
#include "queue/waiting.h"
#include "queue/work.h"

#define HOUR 3600
#define SOON_MS 5000
#define REPLAY_AGAIN_MS 30000
#define WHOLE_PATIENCE_MS 5000 /* for the intake to say that the journal may be read */
#define FILED_AT_ONCE 50 /* in one turn, on the intake's word */

static int queue_fd = -1;
static struct chan intake = {.fd = -1};
static struct loop_timer replay_timer, refile_timer, whole_timer;
static void (*tell_whole)(void); /* NULL: it was told */
static int is_awake, is_replayed; /* all names, and the journal, were read */
static unsigned int replays_owed; /* of the journal, that the intake waits for */
static unsigned int to_file; /* segments whose messages the intake wants filed */
static uint32_t file_at;     /* so far */
static int has_filed;        /* in this round */
static struct retry_bounds bounds;

/* ---- messages that are there */

/* a time that no schedule could have given: the clock went wrong, then or now. It comes within
 * the longest gap there is, each at another moment */
static void bring_back(uint32_t h)
{
  uint64_t longest = bounds.longest > 2 * HOUR ? bounds.longest : 2 * HOUR;
  uint64_t soon = bounds.longest < HOUR ? bounds.longest : HOUR;
  const struct waiting *w = waiting_at(h);

  if (w->state != STORE_CUR || w->due == WAITING_NEVER || w->due <= clock_steady() + longest)
    return;
  waiting_until(h, (uint32_t)(clock_steady() + 1 + h % (soon ? soon : 1)));
}

static void wake(uint32_t h)
{
  const struct waiting *w = waiting_at(h);

  waiting_wake(h);
  bring_back(h);
  if (w->state == STORE_CUR && (w->hop & STORE_HELD))
    line_join(h, w->hop & ~(uint32_t)STORE_HELD, LINE_HELD);
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

/* all that can be known is known: queue commands may ask */
static void look_whole(void)
{
  void (*tell)(void) = is_awake && is_replayed ? tell_whole : NULL;

  if (!tell)
    return;
  loop_timer_stop(&whole_timer);
  tell_whole = NULL;
  tell();
}

static void on_whole_timer(struct loop_timer *t)
{
  (void)t;
  is_replayed = 1; /* as much as there is */
  look_whole();
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
  is_replayed = 1;
  look_whole();
  wire_start(&o, WIRE_RESCANNED);
  for (; replays_owed > 0; replays_owed--)
    if (chan_send(&intake, &o, -1) != 0 && chan_is_open(&intake)) {
      loop_timer_in(t, SOON_MS);
      return;
    }
}

/* all names are read: what the journal says of those messages comes first, then what it alone has */
static void on_names_read(void)
{
  static int is_again;

  retry_bounds(program_table(), &bounds);
  if (!is_again)
    flight_replay(queue_fd, is_twin, clear_leftover);
  is_again = 1;
  if (replays_owed > 0)
    replay(&replay_timer);
}

static void on_names_awake(void)
{
  is_awake = 1;
  look_whole();
}

/* "ID" or "ID SEGMENT OFFSET LENGTH" */
static int take_committed(const char *line, size_t len)
{
  struct store_name n = {.state = STORE_NEW};
  struct flight f = {.id = ""};
  uint32_t h;
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
  tally_count(TALLY_ACCEPTED, 1);
  h = waiting_add(&n);
  if (h != WAITING_NONE && !waiting_at(h)->is_active && !waiting_at(h)->is_asleep)
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

/* ---- messages that are to leave the journal */

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
    if (waiting_at(h)->state != STORE_FLIGHT) { /* a file already, that could not be read then */
      if (!waiting_at(h)->is_active)
        take_twin(h, &n);
      continue;
    }
    if (work_file(h) != 0) {
      log_failed("queue", n.id, strerror(errno));
      loop_timer_in(&refile_timer, SOON_MS);
      return;
    }
    has_filed = 1;
  }
}

int news_turn(void)
{
  int is_more = names_turn();

  file_some();
  return is_more || (to_file && refile_timer.place == 0);
}

/* ---- the channel */

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
    replays_owed++;
    names_read(1U << STORE_NEW);
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

int news_channel(int fd)
{
  static const struct chan_ops ops = {on_news, on_intake_closed, on_intake_drained};

  chan_close(&intake);
  loop_timer_stop(&replay_timer);
  replays_owed = 0;
  endings_begin_again();
  return chan_open(&intake, fd, LINK_NEWS, WIRE_HIGH, &ops);
}

struct chan *news_intake(void)
{
  return &intake;
}

static void on_refile_timer(struct loop_timer *t)
{
  (void)t; /* the turn that follows does it */
}

void news_open(int fd, void (*whole)(void))
{
  static const struct names_keeper keeper = {on_names_read, wake, on_names_awake};

  queue_fd = fd;
  tell_whole = whole;
  whole_timer.fire = on_whole_timer;
  loop_timer_in(&whole_timer, WHOLE_PATIENCE_MS);
  replay_timer.fire = replay;
  refile_timer.fire = on_refile_timer;
  endings_open(fd, &intake);
  names_open(fd, &keeper);
  names_read(NAMES_ALL);
}
