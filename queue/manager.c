/* manager.c - program heloise-queue: the manager of the queue
 *
 * Runs as hlqueue with the queue directory; no network. Knows every message by name, takes
 * up what is due, has attempts made, records what they say. heloise-queue(8) */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/confine.h"
#include "common/log.h"
#include "common/program.h"
#include "common/settings.h"
#include "queue/clock.h"
#include "queue/control.h"
#include "queue/endings.h"
#include "queue/flush.h"
#include "queue/news.h"
#include "queue/pastclock.h"
#include "queue/reports.h"
#include "queue/schedule.h"
#include "queue/spawners.h"
#include "queue/survey.h"
#include "queue/transcript.h"
#include "queue/waiting.h"
#include "queue/work.h"

#define HOUR_MS 3600000
#define LOOK_AGAIN_MS 30000 /* at least this often: slow corrections of the clock add up */

static int queue_fd = -1, libexec_fd = -1, control_fd = -1;
static struct loop_timer timer, sweeper;

/* ---- messages are taken up */

static void arm(int has_more)
{
  uint32_t first = waiting_first();
  uint64_t due, ms = clock_steady_ms(), wait = has_more ? 0 : LOOK_AGAIN_MS;

  if (first != WAITING_NONE) {
    due = (uint64_t)waiting_at(first)->due * 1000;
    if (due <= ms)
      wait = 0;
    else if (due - ms < wait)
      wait = due - ms;
  }
  loop_timer_in(&timer, wait);
}

static void look_at_clock(void)
{
  static uint16_t seen;
  char by[32];

  clock_look();
  if (clock_steps() == seen)
    return;
  snprintf(by, sizeof by, "%+lld s", (long long)clock_skew(seen));
  pastclock_note(clock_wall() - (uint64_t)clock_skew(seen), clock_skew(seen));
  seen = clock_steps();
  log_clock_stepped("queue", by);
}

/* at the end of each turn: what is due becomes jobs, jobs that have a place start */
static void after_turn(void)
{
  int has_more;

  look_at_clock();
  has_more = news_turn();
  has_more |= work_turn();
  spawners_run();
  endings_send();
  transcript_flush(queue_fd, clock_wall());
  arm(has_more);
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
  if (strcmp(peer, "deliver") == 0)
    return spawners_channel(WORK_DELIVER, fd);
  if (strcmp(peer, "local") == 0)
    return spawners_channel(WORK_LOCAL, fd);
  return strcmp(peer, "intake") == 0 ? news_channel(fd) : close(fd);
}

/* who asks gets the whole truth from now on, and what belongs to nothing can go */
static void on_whole(void)
{
  char waits[32];

  if (control_fd >= 0 && control_listen(control_fd, queue_fd) != 0)
    program_die("run/control", strerror(errno));
  loop_timer_in(&sweeper, 1000);
  snprintf(waits, sizeof waits, "%u messages wait", waiting_count());
  log_started("queue", waits);
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

  if (queue_fd < 0 || survey_tidy(queue_fd) != 0)
    program_die("queue directory", strerror(errno));
  if (confine_program("queue", dirs, libexec_fd >= 0 ? 2 : 1) != 0)
    return -1;
  clock_look();
  pastclock_open(queue_fd);
  work_open(queue_fd);
  spawners_open(queue_fd);
  news_open(queue_fd, on_whole);
  reports_open(news_intake(), queue_fd);
  if (flush_start(queue_fd, endings_filed) != 0)
    program_die("flushing thread", strerror(errno));
  timer.fire = on_timer;
  sweeper.fire = sweep;
  if (transcript_make(queue_fd) != 0)
    log_failed("queue", "transcript", strerror(errno));
  loop_after_turn(after_turn);
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
