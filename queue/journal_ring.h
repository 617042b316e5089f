/* journal_ring.h - writing the journal: groups of messages, and notes that end them
 *
 * The intake is the only writer; while nothing runs, a command that holds the instance's lock
 * may add a note. In the intake two threads share the ring: the committing thread writes
 * groups, makes segments and flushes; the main thread writes notes at the end of its turn, so
 * that a kill loses none that it has read.
 *
 * A segment is used again when no message lives in it. One that was ended by a note needs the
 * segment no more: it is delivered, or its file is durable. The last free segment is for
 * notes, or the journal could never be freed. */
#ifndef QUEUE_JOURNAL_RING_H
#define QUEUE_JOURNAL_RING_H

#include <stdint.h>
#include <sys/uio.h>

#include "queue/flights.h"
#include "queue/journal.h"

#define RING_PIECES 3
#define RING_FULL (-1)

struct ring_message {
  const char *id;
  struct iovec piece[RING_PIECES]; /* the queue file's image */
  struct flight place; /* where it lies now */
  int error; /* 0: durable; RING_FULL: not tried, make it a file; else the errno that failed it */
};

/* begins a run: reads what there is; logs and puts aside what is damaged. 0, or -1 with errno:
 * there is no journal in this run. Before the committing thread starts. */
int ring_open(int queue_fd);

/* ---- the committing thread */

/* makes messages durable: one write and one flush for those that fit in a segment */
void ring_write(struct ring_message *m, size_t n);
/* makes the notes written so far durable */
void ring_flush(void);
/* makes the next segment when the current one is half full, or one is wanted for notes; takes
 * the files away when the journal was switched off and is empty */
void ring_tend(void);
/* whether a message of len bytes may go into the journal at all */
int ring_takes(size_t len);

/* ---- the main thread */

/* message id is done with, or a file: seq is what the manager calls this (0: it is our own) */
void ring_note(enum journal_type type, const char *id, uint64_t seq);
/* the manager's numbers are over: another one is there */
void ring_forget_seqs(void);
/* writes notes, takes over new settings. Returns what the other thread is needed for. */
enum ring_need { RING_FLUSH = 1, RING_TEND = 2 };
unsigned int ring_turn(void);
/* the greatest number of a note up to which all are durable; 0: none since the last call */
uint64_t ring_settled(void);
/* whether all notes are durable */
int ring_is_durable(void);
/* bits of segments whose messages should be filed, so that they can be used again */
unsigned int ring_wanted(void);
/* whether the manager still has to be told of a message: no note has ended it meanwhile */
int ring_is_live(const char *id);
/* while is_held, a manager reads: no segment is used again */
void ring_hold(int is_held);

/* ---- a command, while nothing runs */

/* appends one note and flushes it. 0, or -1 with errno */
int ring_note_now(int queue_fd, enum journal_type type, const char *id);

#endif
