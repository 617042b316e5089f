/* loop.h - the event loop of every program: descriptors and timers
 *
 * A descriptor in the loop has a handler; a timer has a deadline. Everything runs in
 * one thread. A handler may close any descriptor and stop any timer. */
#ifndef COMMON_LOOP_H
#define COMMON_LOOP_H

#include <stddef.h>
#include <stdint.h>

enum loop_event { LOOP_READ = 1, LOOP_WRITE = 2 };

/* embed one per descriptor; ready() is called with the events that came */
struct loop_handler {
  void (*ready)(struct loop_handler *h, int fd, int events);
};

/* adds fd (made non-blocking), wanting neither event. 0, or -1 with errno. */
int loop_add(int fd, struct loop_handler *h);
/* says which events are wanted (enum loop_event bits) */
void loop_want(int fd, int events);
/* to be called when a read or write on fd gave EAGAIN */
void loop_drained(int fd, int event);
/* takes fd out of the loop and closes it */
void loop_close(int fd);

/* one-shot timer; a struct of zeroes is a stopped timer */
struct loop_timer {
  void (*fire)(struct loop_timer *t);
  uint64_t at;  /* monotonic milliseconds */
  size_t place; /* 1 + index in the heap, 0 when stopped */
};

/* (re)arms t to fire ms milliseconds from now. 0, or -1 (ENOMEM; t is stopped). */
int loop_timer_in(struct loop_timer *t, uint64_t ms);
void loop_timer_stop(struct loop_timer *t);

/* monotonic milliseconds, as of this turn of the loop */
uint64_t loop_now(void);

/* serves events and timers until loop_end() */
void loop_run(void);
void loop_end(void);

/* called once at the end of each turn, after all events: a place to send in one go
 * what the turn gathered */
void loop_after_turn(void (*f)(void));

#endif
