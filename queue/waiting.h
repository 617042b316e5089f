/* waiting.h - every message in the queue, as the manager remembers it
 *
 * One small record each (68 bytes, and 4 in the heap, 4 to 8 in the index, and 4 for a line),
 * found by id, by next attempt time, and by next hop (line.h). Names only: what else is known
 * stands in the file. */
#ifndef QUEUE_WAITING_H
#define QUEUE_WAITING_H

#include <stdint.h>

#include "queue/store.h"

#define WAITING_NONE UINT32_MAX
#define WAITING_NEVER UINT32_MAX /* next: only by an administrator's word */

struct waiting {
  char id[STORE_ID_LEN + 1];
  uint32_t next, hop; /* as in the file's name */
  uint32_t due;   /* when it is taken up next, in steady seconds (clock.h); WAITING_NEVER: not by itself */
  uint32_t born;  /* when the manager heard of it, steady; 0: it was here before, its envelope tells */
  uint32_t look;  /* when it must be read: its life is over, its sender to be warned; 0: not known */
  uint32_t place; /* 1 + index in the heap; 0: not waiting for a time */
  uint32_t chain; /* next record with the same hash, or next free record */
  uint32_t line_hop, left, right, up; /* line.h */
  uint16_t made_at, named_at; /* clock_steps() when its file, and its times, were written */
  uint8_t rank;          /* line.h */
  uint8_t line : 3;      /* enum line_kind */
  uint8_t state : 3;     /* enum store_state */
  uint8_t is_front : 1;  /* line.h */
  uint8_t is_used : 1;
  uint8_t is_active : 1; /* being worked on */
  uint8_t is_unverified : 1; /* not fresh from the intake: its checksum is looked at first */
  uint8_t is_hurried : 1;    /* asked for now: every recipient is tried, whatever its own time */
  uint8_t is_released : 1;   /* mail gets through to its host: the same, for its turn */
  uint8_t is_owed : 1;       /* due for what its sender is owed, not for an attempt */
  uint8_t is_warned : 1;     /* its sender was told of the delay since we started */
  uint8_t is_backlog : 1;    /* its destination was down: it goes with those that were tried */
  uint8_t is_asleep : 1;     /* found on disk, and not yet in the schedule (names.h) */
};

/* handles stay valid until waiting_drop(); pointers only until the next waiting_add() */
struct waiting *waiting_at(uint32_t handle);
uint32_t waiting_find(const char *id);
/* adds a message, due at n->next (by the wall clock as it goes now), one on hold never. A known
 * id gives its handle and changes nothing. WAITING_NONE when memory is out. */
uint32_t waiting_add(const struct store_name *n);
/* the same, but asleep: outside the schedule until waiting_until() */
uint32_t waiting_add_asleep(const struct store_name *n);
/* it is due as its name says */
void waiting_wake(uint32_t handle);
/* forgets it, out of its line too */
void waiting_drop(uint32_t handle);
/* (re)schedules; due is steady */
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
