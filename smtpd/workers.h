/* workers.h - threads for work that takes long: the event loop goes on meanwhile
 *
 * A few threads, a bounded line of work before them. What is done comes back into the loop. */
#ifndef SMTPD_WORKERS_H
#define SMTPD_WORKERS_H

/* embed one; it must live until done() */
struct work {
  void (*run)(struct work *w);  /* in a thread: touches nothing but what is in the struct around it */
  void (*done)(struct work *w); /* in the loop */
  struct work *next;
};

#define WORKERS_WAITING 256 /* as much work may wait or run */

/* 0: done() follows; -1: there is too much already, or no thread can be had */
int workers_add(struct work *w);

#endif
