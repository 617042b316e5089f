/* endings.c - what the manager tells the intake of messages in the journal
 *
 * Runs in the manager. */
#include "queue/endings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "queue/flush.h"
#include "queue/store_flight.h"

#define AT_ONCE 2000 /* in one packet */
#define NOTE_LEN (1 + STORE_ID_LEN)

struct note {
  enum journal_type type;
  struct store_name name; /* of one that is done with: its file, if it has one */
};

static int queue_fd = -1;
static struct chan *intake;
static struct note *ring; /* note number n at n & (room - 1) */
static uint64_t room;     /* a power of two */
static uint64_t first = 1, sent = 1, next = 1; /* the oldest kept, the next to be sent, to be made */
static int is_full; /* the channel is */

static struct note *at(uint64_t number)
{
  return &ring[number & (room - 1)];
}

static int grow(void)
{
  uint64_t more = room ? room * 2 : 1024;
  struct note *bigger = reallocarray(NULL, more, sizeof *bigger);

  if (!bigger)
    return -1;
  for (uint64_t n = first; n < next; n++)
    bigger[n & (more - 1)] = *at(n);
  free(ring);
  ring = bigger;
  room = more;
  return 0;
}

static int add(enum journal_type type, const struct store_name *n)
{
  if (next - first == room && grow() != 0)
    return -1;
  *at(next++) = (struct note){type, *n};
  return 0;
}

static int on_over(const struct store_name *n)
{
  return add(JOURNAL_DONE, n);
}

void endings_filed(const char *id)
{
  struct store_name n = {.state = STORE_FLIGHT};

  memcpy(n.id, id, STORE_ID_LEN);
  if (flight_is_filed(id) && add(JOURNAL_FILED, &n) != 0)
    log_failed("queue", id, "out of memory; the journal keeps it until the next start");
}

static void on_filed(const struct store_name *n)
{
  flush_filed(n);
}

void endings_open(int fd, struct chan *c)
{
  static const struct flight_keeper keeper = {on_filed, on_over};

  queue_fd = fd;
  intake = c;
  flight_keep(&keeper);
}

void endings_begin_again(void)
{
  sent = first;
  is_full = 0;
}

void endings_drained(void)
{
  is_full = 0;
}

void endings_send(void)
{
  static char packet[AT_ONCE * NOTE_LEN];

  while (sent < next && !is_full && chan_is_open(intake)) {
    uint64_t n = sent;
    size_t len = 0;
    struct wire_out o;
    for (; n < next && len < sizeof packet; n++, len += NOTE_LEN) {
      packet[len] = (char)at(n)->type;
      memcpy(packet + len + 1, at(n)->name.id, STORE_ID_LEN);
    }
    wire_start(&o, WIRE_NOTES);
    wire_num(&o, sent);
    wire_bytes(&o, packet, len);
    if (chan_send(intake, &o, -1) != 0) {
      is_full = 1;
      return;
    }
    sent = n;
  }
}

int endings_settled(uint64_t number)
{
  if (number >= sent)
    return -1;
  for (; first <= number; first++) {
    const struct note *n = at(first);
    flight_settled(n->name.id, n->type);
    if (n->type != JOURNAL_DONE || n->name.state == STORE_FLIGHT)
      continue;
    if (store_unlink(queue_fd, &n->name) != 0 && errno != ENOENT)
      log_failed("queue", n->name.id, strerror(errno));
    flush_soon(&n->name);
  }
  return 0;
}

int endings_are_open(void)
{
  return first < next && chan_is_open(intake);
}
