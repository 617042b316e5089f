/* transcript.h - where transcripts are kept: queue/transcript
 *
 *   transcript/BB/ID        of a message that was tried and not yet done: it stays while the
 *                           message is queued, and `transcript-keep` longer
 *   transcript/all/EPOCH    of messages that left with their first attempt, one after the
 *                           other: a file for an hour or so, named in hex after its beginning
 *
 * Both hold records (dialogue.h). The manager writes and clears them; commands read them.
 * Nothing rests on them: what cannot be written is not kept. */
#ifndef QUEUE_TRANSCRIPT_H
#define QUEUE_TRANSCRIPT_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

#include "queue/clearing.h"
#include "queue/dialogue.h"

#define TRANSCRIPT_ROOM (128 * 1024 * 1024) /* on the disk that is left to mail, besides queue-min-free */
#define TRANSCRIPT_OWN_MAX (1024 * 1024)    /* of one message; the oldest attempts go first */
#define TRANSCRIPT_ALL_MAX (64 * 1024 * 1024) /* of one shared file */

/* makes the directories that are missing. 0, or -1 with errno */
int transcript_make(int queue_fd);

/* whether the disk has room for transcripts; without, none are kept, long before it is so full
 * that new messages are refused: peers say as much as they like, and it costs them nothing */
int transcript_has_room(int queue_fd);

/* appends a record of a message that is still queued, or was tried before */
void transcript_keep(int queue_fd, const char *id, const stralloc *record);
/* appends a record of a message that left with its first attempt; written by transcript_flush(),
 * at the end of the turn, with others */
void transcript_keep_last(int queue_fd, const stralloc *record, uint64_t now);
void transcript_flush(int queue_fd, uint64_t now);
/* the message has left the queue: its time runs from here */
void transcript_left(int queue_fd, const char *id);

/* clears one directory of what was last written before `before`, and of the oldest while all take more
 * than `transcript-size`, but for messages that are queued; each call takes the next directory. With
 * one shared file after another they are TRANSCRIPT_DIRS. */
#define TRANSCRIPT_DIRS CLEARING_DIRS
void transcript_sweep(int queue_fd, uint64_t before, int (*is_queued)(const char *id));

/* reads the records of a message: 0, what the reader returned, or -1: there are none */
int transcript_each(int queue_fd, const char *id, const struct dialogue_reader *r);

#endif
