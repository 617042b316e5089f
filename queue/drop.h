/* drop.h - the files of queue/drop: how sendmail(8) hands a message over
 *
 *   heloise-drop 1
 *   s SENDER                 empty: the null sender
 *   v ENVID / d RET / f FLAGS   optional; flags as in the envelope's line o: b, u
 *   r NOTIFY ORCPT ADDRESS   one per recipient; "-" where nothing was given
 *   (empty line)
 *   the message in wire form: CR LF line ends, not dot-stuffed
 *   heloise-end
 *
 * A file is made as NAME.tmp, flushed, renamed to NAME, and the directory is flushed: a
 * name without ".tmp" is a whole message. queue/drop is hlqueue:hldrop 3730, files are
 * 0640 and belong to the user who sent and to group hldrop, of which hlqueue is a member;
 * who sent is what fstat(2) says. In an instance of an ordinary user all is that user's.
 *
 * Any user of the host can write such a file without sendmail: it is hostile. drop_parse()
 * is pure; that the message is in canonical form is for the reader to check (content.h). */
#ifndef QUEUE_DROP_H
#define QUEUE_DROP_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

#define DROP_HEAD_MAX (64 * 1024 * 1024) /* bytes before the message */
#define DROP_RCPT_MAX 100000
#define DROP_END "heloise-end\n"
#define DROP_TMP ".tmp"

struct drop_rcpt {
  const char *address, *notify, *orcpt; /* "" where nothing was given */
};

struct drop {
  const char *sender, *envid, *ret; /* "" where nothing was given; ret: FULL or HDRS */
  unsigned int flags;               /* enum envelope_flag: 8BITMIME, SMTPUTF8 only */
  size_t nrcpt;
  struct drop_rcpt *rcpt;
  uint64_t body_at, body_len; /* the message */
  char *block;                /* the strings' home */
};

/* whether a directory entry is a message (not one being made, not hidden) */
int drop_is_name(const char *name);

/* parses the head that buf begins with; takes a copy. Sets body_at, not body_len. 0; -1 with
 * *why, and errno EBADMSG, or EAGAIN when the head may go on after buf, or ENOMEM. */
int drop_parse(const char *buf, size_t len, struct drop *d, const char **why);
/* reads the head of an open regular file and checks its end mark. 0; -1 with *why and errno
 * as above, or that of a failed read. Uses pread only. */
int drop_read(int fd, struct drop *d, const char **why);
void drop_free(struct drop *d);

/* appends the head of d to out. 0, or -1: EINVAL when a value cannot be written, ENOMEM */
int drop_head(stralloc *out, const struct drop *d);

/* DSN parameters as users and files give them: NEVER, or a list of SUCCESS, FAILURE, DELAY
 * (RFC 3461 4.1); xtext of at most 100 (4.4); FULL or HDRS (4.3). In upper case only. */
int drop_is_notify(const char *s);
int drop_is_envid(const char *s);
int drop_is_ret(const char *s);

/* makes the file of a message: 0, or -1 with errno. queue is the path of the queue. */
struct drop_file {
  int dir, fd;
  char name[64];
};
int drop_create(struct drop_file *f, const char *queue);
int drop_write(struct drop_file *f, const char *s, size_t len);
/* the end mark, flush, rename, flush of the directory; closes */
int drop_commit(struct drop_file *f);
/* forgets it; harmless after drop_commit() */
void drop_abandon(struct drop_file *f);

#endif
