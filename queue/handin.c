/* handin.c - a message from standard input is handed in through queue/drop
 *
 * Runs in sendmail, with its caller's user and group hldrop. Arguments and input are the
 * caller's, and hostile; a message is in the queue whole, or not at all. */
#include "queue/handin.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/address.h"
#include "common/log.h"
#include "common/verdict.h"
#include "queue/drop.h"
#include "queue/envelope.h"
#include "queue/submit.h"

#define BLOCK 65536
#define COMPLAINT_MAX 500 /* bytes of the caller's that are repeated */

struct handin {
  int fd;
  const struct arguments *args;
  const struct identity *id;
  struct drop drop; /* sender and recipients point to memory of their own */
  size_t room;      /* for recipients */
  void *seen;       /* their addresses, to leave doubles out */
  char notify[32];
  stralloc head;  /* of the drop file */
  stralloc text;  /* input in wire form, not written yet; bound: SUBMIT_HEADER_MAX + BLOCK */
  struct submit_text form;
  struct submit_parts parts;
  struct drop_file file;
  uint64_t size;
  int at_end; /* of the input */
};

/* ---- saying what is wrong */

/* "sendmail: WHAT: TEXT"; returns code, negative, for a callback to hand on */
static int complain(int code, const char *what, const char *text, size_t len)
{
  stralloc line = {0};

  if (stralloc_cats(&line, "sendmail: ") && stralloc_cats(&line, what) &&
      (!text || (stralloc_cats(&line, ": ") &&
                 log_escape(&line, text, len < COMPLAINT_MAX ? len : COMPLAINT_MAX) == 0)) &&
      stralloc_cats(&line, "\n"))
    fwrite(line.s, 1, line.len, stderr);
  stralloc_free(&line);
  return -code;
}

static int complain_error(const char *what)
{
  const char *why = strerror(errno);

  return complain(EXIT_TEMPFAIL, what, why, strlen(why));
}

static int no_memory(void)
{
  return complain(EXIT_TEMPFAIL, "out of memory", NULL, 0);
}

/* queue/drop cannot be written in: without an instance, or without the right, waiting is no use */
static int complain_drop(const char *queue)
{
  int e = errno, is_missing = e == ENOENT || e == ENOTDIR, code;
  struct stat st;
  stralloc text = {0};

  is_missing = is_missing && stat(queue, &st) != 0 && (errno == ENOENT || errno == ENOTDIR);
  code = is_missing ? EXIT_CONFIG : e == EACCES ? EXIT_CANTCREAT : EXIT_TEMPFAIL;
  if (!stralloc_cats(&text, queue) || !stralloc_cats(&text, "/drop: ") ||
      !stralloc_cats(&text, strerror(e)) ||
      !stralloc_cats(&text, is_missing ? "; heloise init makes one" : ""))
    code = -no_memory();
  else /* the text is not the caller's, but HELOISE_DIR may be */
    complain(code, is_missing ? "no instance" : "no way to the queue", text.s, text.len);
  stralloc_free(&text);
  return -code;
}

/* ---- envelope */

/* the address in normal form, with a domain, in memory of its own; 0 or a negative code */
static int take_address(struct handin *h, const char *s, size_t len, int code, char **out)
{
  struct address a = {0};
  const char *why = "", *what = code == EXIT_USAGE ? "not a sender's address" : "not an address";
  int r = address_parse(s ? s : "", len, code == EXIT_USAGE, &a, &why);

  *out = NULL;
  if (r != 0)
    r = complain(code, what, s, len);
  else if (a.is_utf8)
    r = complain(code, "an address needs ASCII; UTF-8 cannot be sent yet", s, len);
  else if (a.text.len > 0 && !*a.domain && (!stralloc_cats(&a.text, "@") ||
                                            !stralloc_cats(&a.text, h->id->domain.s)))
    r = no_memory();
  else if (!stralloc_0(&a.text))
    r = no_memory();
  if (r == 0)
    *out = a.text.s;
  else
    stralloc_free(&a.text);
  return r;
}

static int compare(const void *a, const void *b)
{
  return strcmp(a, b);
}

static int take_rcpt(void *arg, const char *s, size_t len)
{
  struct handin *h = arg;
  size_t n = h->drop.nrcpt;
  char *address, **node;
  int r = take_address(h, s, len, EXIT_DATA, &address);

  if (r != 0)
    return r;
  if (n == h->room) {
    struct drop_rcpt *more = reallocarray(h->drop.rcpt, n ? 2 * n : 16, sizeof *more);
    if (!more)
      return no_memory();
    h->drop.rcpt = more;
    h->room = n ? 2 * n : 16;
  }
  node = tsearch(address, &h->seen, compare);
  if (!node)
    return no_memory();
  if (*node != address) {
    free(address);
    return 0;
  }
  h->drop.rcpt[h->drop.nrcpt++] = (struct drop_rcpt){address, h->notify, ""};
  return 0;
}

static int take_rcpt_field(void *arg, const char *value, size_t len)
{
  return submit_addresses(value, len, take_rcpt, arg);
}

static int take_sender(void *arg, const char *s, size_t len)
{
  struct handin *h = arg;
  char *address;
  int r = take_address(h, s, len, EXIT_USAGE, &address);

  if (r != 0)
    return r;
  if (h->drop.sender)
    return complain(EXIT_USAGE, "more than one sender", s, len);
  h->drop.sender = address;
  return 0;
}

static void upper(char *out, size_t size, const char *s)
{
  size_t n = 0;

  for (; *s && n + 1 < size; s++)
    out[n++] = *s >= 'a' && *s <= 'z' ? (char)(*s - 32) : *s;
  out[n] = 0;
}

static int take_options(struct handin *h)
{
  const struct arguments *a = h->args;
  const char *sender = a->sender ? a->sender : h->id->address.s;
  int r = submit_addresses(sender, strlen(sender), take_sender, h);

  if (r == 0 && !h->drop.sender) /* -f '' */
    r = take_sender(h, "", 0);
  if (r != 0)
    return r;
  upper(h->notify, sizeof h->notify, a->notify ? a->notify : "");
  if ((a->notify && strlen(a->notify) >= sizeof h->notify) || !drop_is_notify(h->notify))
    return complain(EXIT_USAGE, "-N wants never, or some of success,failure,delay", NULL, 0);
  h->drop.ret = !a->ret ? "" : strcasecmp(a->ret, "full") == 0 ? "FULL" : "HDRS";
  if (a->ret && strcasecmp(a->ret, h->drop.ret) != 0)
    return complain(EXIT_USAGE, "-R wants full or hdrs", NULL, 0);
  h->drop.envid = a->envid ? a->envid : "";
  if (!drop_is_envid(h->drop.envid))
    return complain(EXIT_USAGE, "-V wants xtext (RFC 3461) of at most 100 bytes", NULL, 0);
  h->drop.flags = a->is_8bit ? ENVELOPE_8BITMIME : 0;
  h->form.dot_is_text = a->dot_is_text;
  for (char **p = a->rcpt; *p; p++)
    if ((r = take_rcpt_field(h, *p, strlen(*p))) != 0)
      return r;
  return 0;
}

/* ---- the message */

/* more input, appended to h->text in wire form */
static int read_more(struct handin *h)
{
  static char block[BLOCK];
  ssize_t n = h->form.ended ? 0 : read(h->fd, block, sizeof block);

  if (n < 0 && errno == EINTR)
    return 0;
  if (n < 0)
    return complain(EXIT_IOERR, "standard input cannot be read", NULL, 0);
  h->at_end = n == 0;
  return submit_text(&h->form, &h->text, n ? block : NULL, (size_t)n) == 0 ? 0 : no_memory();
}

static int read_header(struct handin *h)
{
  for (;;) {
    int r = read_more(h);
    if (r != 0)
      return r;
    if (submit_split(h->text.s, h->text.len, h->at_end, &h->parts))
      return 0;
    if (h->text.len > SUBMIT_HEADER_MAX)
      return complain(EXIT_DATA, "the header is longer than 1 MB", NULL, 0);
  }
}

static int put(struct handin *h, const char *s, size_t len)
{
  h->size += len;
  if (h->id->size_limit && h->size > h->id->size_limit)
    return complain(EXIT_DATA, "the message is larger than message-size-limit", NULL, 0);
  return drop_write(&h->file, s, len) == 0 ? 0 : complain_error("queue/drop");
}

static int put_header(struct handin *h, uint64_t now)
{
  char message_id[400];
  unsigned long long salt = 0;
  stralloc out = {0};
  struct submit_origin o = {.address = h->id->address.s, .full_name = h->id->full_name.s,
                            .message_id = message_id, .now = now,
                            .removes_bcc = h->args->from_header,
                            .is_gateway = h->args->is_gateway};
  int r;

  if (h->args->sender && *h->drop.sender)
    o.address = h->drop.sender;
  if (getrandom(&salt, sizeof salt, 0) != sizeof salt)
    return complain_error("random bytes");
  snprintf(message_id, sizeof message_id, "%llx.%016llx@%s", (unsigned long long)now, salt,
           h->id->domain.s);
  r = submit_header(&out, h->text.s + h->parts.header_at, h->parts.header_len, &o) == 0
        ? put(h, out.s, out.len) : no_memory();
  stralloc_free(&out);
  return r;
}

static int put_body(struct handin *h)
{
  int r = put(h, h->text.s + h->parts.body_at, h->text.len - h->parts.body_at);

  while (r == 0 && !h->at_end) {
    h->text.len = 0;
    r = read_more(h);
    if (r == 0)
      r = put(h, h->text.s, h->text.len);
  }
  return r;
}

static int write_message(struct handin *h, const char *queue)
{
  int r;

  if (drop_head(&h->head, &h->drop) != 0)
    return no_memory();
  if (h->head.len > DROP_HEAD_MAX || h->drop.nrcpt > DROP_RCPT_MAX)
    return complain(EXIT_DATA, "too many recipients", NULL, 0);
  if (drop_create(&h->file, queue) != 0)
    return complain_drop(queue);
  r = drop_write(&h->file, h->head.s, h->head.len) == 0 ? 0 : complain_error("queue/drop");
  if (r == 0)
    r = put_header(h, (uint64_t)time(NULL));
  if (r == 0)
    r = put_body(h);
  if (r == 0 && drop_commit(&h->file) != 0)
    r = complain_error("queue/drop");
  drop_abandon(&h->file);
  return r;
}

int handin(int fd, const struct arguments *a, const struct identity *id, const char *queue)
{
  struct handin h = {.fd = fd, .args = a, .id = id};
  int r = take_options(&h);

  if (r == 0 && !a->from_header && h.drop.nrcpt == 0)
    r = complain(EXIT_USAGE, "no recipients; name them, or use -t", NULL, 0);
  if (r == 0)
    r = read_header(&h);
  if (r == 0 && a->from_header)
    r = submit_recipient_fields(h.text.s + h.parts.header_at, h.parts.header_len, take_rcpt_field,
                                &h);
  if (r == 0 && h.drop.nrcpt == 0)
    r = complain(EXIT_USAGE, "the header names no recipients", NULL, 0);
  if (r == 0)
    r = write_message(&h, queue);
  return -r; /* the process ends: its memory needs no freeing */
}
