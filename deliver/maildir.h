/* maildir.h - writes one message into a Maildir
 *
 * The caller has become the mailbox's owner: nothing here decides what may be written. */
#ifndef DELIVER_MAILDIR_H
#define DELIVER_MAILDIR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct maildir_message {
  int fd;       /* the message in wire form is len bytes from `at` on */
  off_t at;
  uint64_t len;
  const char *sender, *recipient, *hostname;
};

/* delivers below the directory base into path ("Maildir/", "alice/"; localuser_is_path());
 * directories that are missing are made, mode 0700; symbolic links are not followed. With
 * Return-Path and Delivered-To in front and LF line ends. 0 when it is durable; or -1 with
 * errno and *what (static: what was being done). */
int maildir_deliver(int base, const char *path, const struct maildir_message *m,
                    const char **what);

/* the same directories made or opened: a descriptor of path, or -1 with errno */
int maildir_open(int base, const char *path);

/* turns CR LF into LF: from in to out, which has room for len + 1 bytes; returns how many
 * were written. *has_cr is 0 at first and carries a CR at the end of a piece over to the
 * next; the caller writes it out when it is still set at the end. */
size_t maildir_lines(const char *in, size_t len, int *has_cr, char *out);

#endif
