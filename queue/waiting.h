/* waiting.h - every message in the queue, as the manager remembers it
 *
 * One small record each (48 bytes, and 4 in the heap, and 4 to 8 in the index), found by id
 * and by next attempt time. Names only: what else is known stands in the file. */
#ifndef QUEUE_WAITING_H
#define QUEUE_WAITING_H

#include <stdint.h>

#include "queue/store.h"

#define WAITING_NONE UINT32_MAX
#define WAITING_NEVER UINT32_MAX /* next: only by an administrator's word */

struct waiting {
  char id[STORE_ID_LEN + 1];
  uint32_t next, hop; /* as in the file's name */
  uint32_t due;       /* when it is taken up next; WAITING_NEVER: not by itself */
  uint32_t place; /* 1 + index in the heap; 0: not waiting for a time (active) */
  uint32_t chain; /* next record with the same hash, or next free record */
  uint32_t behind; /* the next one parked at the same destination (spawners.h) */
  uint8_t state;  /* enum store_state */
  uint8_t is_unverified; /* not fresh from the intake: its checksum is looked at first */
  uint8_t is_hurried;    /* asked for now: every recipient is tried, whatever its own time */
  uint8_t is_parked;  /* waits for its destination to have room, not for a time */
  uint8_t is_owed;    /* due for what its sender is owed, not for an attempt */
  uint8_t is_warned;  /* its sender was told of the delay since we started */
  uint8_t is_asleep;  /* found on disk, and not yet in the schedule (names.h) */
  uint8_t is_used;
};

/* handles stay valid until waiting_drop(); pointers only until the next waiting_add() */
struct waiting *waiting_at(uint32_t handle);
uint32_t waiting_find(const char *id);
/* adds a message, due at n->next, one on hold never. A known id gives its handle and
 * changes nothing.
 * WAITING_NONE when memory is out. */
uint32_t waiting_add(const struct store_name *n);
/* the same, but asleep: outside the schedule until waiting_until() */
uint32_t waiting_add_asleep(const struct store_name *n);
void waiting_drop(uint32_t handle);
/* (re)schedules */
void waiting_until(uint32_t handle, uint32_t due);
/* its file was moved */
void waiting_moved(uint32_t handle, const struct store_name *n);
/* the one that is due first, and when; WAITING_NONE when none waits */
uint32_t waiting_first(void);
/* takes a message out of the schedule: it is being worked on */
void waiting_take(uint32_t handle);
uint32_t waiting_count(void);
/* handles run from 0 to waiting_slots() - 1; look at is_used */
uint32_t waiting_slots(void);
void waiting_name(uint32_t handle, struct store_name *n);

#endif
