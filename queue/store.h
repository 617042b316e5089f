/* store.h - the queue: the only code that links, unlinks and files messages
 *
 * heloise-queue-format(5). Everybody else names a message by struct store_name and gets
 * descriptors; what form a message has on disk, a file or a record of the journal, is known
 * here only (store.c: directories; store_flight.c: what is in the journal).
 *
 *   journal/             first flights: committed, not yet tried, or being tried (journal.h)
 *   tmp/ID               being received; never acknowledged; cleared at start
 *   new/BB/ID            the same as files of their own
 *   cur/BB/ID,NEXT,HOP   tried and waiting: next attempt (epoch, hex), hash of the next hop
 *   hold/BB/ID,NEXT,HOP  waits for the administrator
 *   drop/                from sendmail (drop.h)
 *   corrupt/             what does not parse
 *   transcript/          what was said in attempts (transcript.h)
 *
 * BB are the last two characters of the id, octal. */
#ifndef QUEUE_STORE_H
#define QUEUE_STORE_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

#define STORE_ID_LEN 15
#define STORE_NAME_MAX 64 /* room for "hold/BB/ID,NEXT,HOP" */

/* STORE_FLIGHT: in the journal only; shown as new */
enum store_state { STORE_NEW, STORE_CUR, STORE_HOLD, STORE_FLIGHT, STORE_STATES };
#define STORE_DIRS STORE_FLIGHT /* states that are directories */
#define STORE_BUCKETS 64        /* directories of each */

struct store_name {
  char id[STORE_ID_LEN + 1];
  enum store_state state;
  uint32_t next; /* epoch; 0 in new and in the journal */
  uint32_t hop;  /* store_hop_hash(), and STORE_HELD; 0: several next hops, or unknown */
};

/* in hop: it waits because of the host alone, not because of what was said about a recipient */
#define STORE_HELD 1

/* makes what is missing of the directories under queue_fd, mode 0700 (drop: see sendmail(8)),
 * and flushes them. 0, or -1 with errno. */
int store_make(int queue_fd);
/* makes a directory, mode 0700: the queue's owner's, also when root asks. 0, also when it is there;
 * or -1 with errno. */
int store_make_dir(int queue_fd, const char *path);
/* flushes the directories: a start after a power cut. 0, or -1 with errno. */
int store_settle(int queue_fd);

/* flushes one directory under the queue. 0, or -1 with errno. */
int store_flush_dir(int queue_fd, const char *path);

/* even, and not 0 */
uint32_t store_hop_hash(const char *nexthop, size_t len);
/* the n-th other id for a message that cannot keep its own, of the same second; always the same */
void store_other_id(char other[STORE_ID_LEN + 1], const char *id, unsigned int n);
/* whether s is a well-formed id */
int store_is_id(const char *s, size_t len);
/* reads "STATE/BB/NAME": 0, or -1 when it is no message's name */
int store_parse(const char *path, struct store_name *n);
/* whether both name the same file: in new/ a name is the id alone */
int store_is_same(const struct store_name *a, const struct store_name *b);
/* the same the other way; not for what is in the journal */
void store_path(char out[STORE_NAME_MAX], const struct store_name *n);
/* when a well-formed id was made (epoch) */
uint64_t store_id_time(const char *id);
const char *store_state_word(enum store_state s);

/* ---- the intake's side */

/* a fresh id; ids made in the same moments share a directory, so that a group is one flush */
void store_fresh_id(char id[STORE_ID_LEN + 1]);
/* creates tmp/ID: a descriptor open for writing, or -1 with errno */
int store_create(int queue_fd, const char *id);
/* forgets a message that was not committed: unlinks tmp/ID */
void store_abandon(int queue_fd, const char *id);

struct store_commit {
  const char *id;
  int fd;    /* of tmp/ID, everything written */
  int error; /* 0: durable; else the errno that failed it, and it is gone */
};
/* makes a group durable (DURABILITY.md, sequence E): every file flushed, every file renamed
 * into new/, every directory flushed once. Descriptors stay open. Thread-safe. */
void store_commit(int queue_fd, struct store_commit *c, size_t n);
/* bytes the file system has left for us; UINT64_MAX when it cannot be told */
uint64_t store_free(int queue_fd);

/* ---- the manager's and the commands' side */

struct envelope;

/* calls f for each message of a state; names that are none go to corrupt/ when `moves`. 0; -1
 * when some directory could not be read whole (the others were); stops when f returns more
 * than 0 and returns that. One that is in the journal and a file too is the file's. */
int store_scan(int queue_fd, enum store_state s, int moves,
               int (*f)(void *arg, const struct store_name *n), void *arg);
/* the same for one directory of a state, 0 <= bucket < STORE_BUCKETS */
int store_scan_dir(int queue_fd, enum store_state s, unsigned int bucket, int moves,
                   int (*f)(void *arg, const struct store_name *n), void *arg);
/* finds a message by id in any state: 0; -1 with errno ENOENT */
int store_find(int queue_fd, const char *id, struct store_name *n);
/* opens a message: a descriptor, or -1 with errno. O_RDWR only for what is a file (EROFS): see
 * store_file(). Of a message in the journal it is a sealed copy in memory. */
int store_open(int queue_fd, const struct store_name *n, int flags);
/* reads its envelope, and all of it when its checksum is not known to be good. 0, or -1 with
 * *why and errno, EBADMSG when it is no whole message. */
int store_read(int queue_fd, const struct store_name *n, int is_unverified, struct envelope *e,
               const char **why);

/* a message that leaves the journal becomes a file: with the states of the recipients as in e,
 * if that is not NULL, and then history lines, if there are any */
struct store_filing {
  enum store_state state;
  uint32_t next, hop;
  const struct envelope *e;
  const stralloc *history;
};
/* files a message that is in the journal; updates *n. 0, or -1 with errno (*n is unchanged). */
int store_file(int queue_fd, struct store_name *n, const struct store_filing *f);

/* moves a message to another state, next attempt and hop, in one rename; updates *n. Not
 * flushed: the old name says nothing false. One that is in the journal is filed. 0, or -1 with
 * errno (then *n is unchanged). */
int store_move(int queue_fd, struct store_name *n, enum store_state s, uint32_t next, uint32_t hop);
/* writes a message's file anew, under the same name, with nothing changed. 0, or -1 with errno. */
int store_rewrite(int queue_fd, const struct store_name *n);
/* flushes those directories of a state whose bits are set; the bit of a message's. Thread-safe.
 * 0, or -1: not all of them. */
int store_flush(int queue_fd, enum store_state s, uint64_t buckets);
uint64_t store_bucket_bit(const struct store_name *n);
/* the message has left the queue. 0, or -1 with errno. Its file stays, with all recipients
 * done, until the journal knows that it is over. */
int store_remove(int queue_fd, const struct store_name *n);
/* puts a message aside in corrupt/ and logs why. 0, or -1 with errno. */
int store_corrupt(int queue_fd, const struct store_name *n, const char *why);
/* moves what stands under `path` (relative to the queue) to corrupt/, under a name that is free
 * there, and logs why. 0, or -1 with errno. */
int store_put_aside(int queue_fd, const char *path, const char *why);
/* clears tmp/ of what an earlier run left; what is none of that goes to corrupt/ */
void store_sweep(int queue_fd);
/* ---- for store_flight.c */

/* moves tmp/ID to where n says. 0, or -1 with errno. */
int store_place(int queue_fd, const struct store_name *n);
/* unlinks its file. 0, or -1 with errno. */
int store_unlink(int queue_fd, const struct store_name *n);

#endif
