/* verb.h - the verbs of SMTP as heloise-smtpd knows them: one table, one function each
 *
 * A verb's function gets a command whose order was checked, and returns what to reply;
 * REPLY_NONE when it wrote the reply itself, or when it follows later. A %s in the reply
 * is s->argument. */
#ifndef SMTPD_VERB_H
#define SMTPD_VERB_H

#include "smtpd/command.h"
#include "smtpd/session.h"

/* runs the command: its reply */
enum reply verb_run(struct session *s, const struct command *c);

enum reply verb_ehlo(struct session *s, const struct command *c);
enum reply verb_helo(struct session *s, const struct command *c);
enum reply verb_mail(struct session *s, const struct command *c);
enum reply verb_rcpt(struct session *s, const struct command *c);
enum reply verb_data(struct session *s, const struct command *c);
enum reply verb_bdat(struct session *s, const struct command *c);
enum reply verb_rset(struct session *s, const struct command *c);
enum reply verb_noop(struct session *s, const struct command *c);
enum reply verb_vrfy(struct session *s, const struct command *c);
enum reply verb_help(struct session *s, const struct command *c);
enum reply verb_auth(struct session *s, const struct command *c);
enum reply verb_quit(struct session *s, const struct command *c);
enum reply verb_starttls(struct session *s, const struct command *c);
enum reply verb_xclient(struct session *s, const struct command *c);
/* known to other servers, not to us: says so with 502 */
enum reply verb_other(struct session *s, const struct command *c);

/* verb_starttls.c, verb_xclient.c: whether it is to be offered */
int verb_can_starttls(const struct session *s);
int verb_can_xclient(const struct session *s);

/* verb_rcpt.c: heloise-auth has answered about s->asked */
enum reply verb_rcpt_known(struct session *s, enum verdict v);

/* verb_data.c: takes bytes of the message, returns how many */
size_t data_feed(struct session *s, const char *bytes, size_t len);
/* the intake has room again */
void data_room(struct session *s);
/* passes bytes of the message on, as many as fit a frame; with is_end what ends it too (BDAT).
 * Returns the bytes taken: none, when it is FULL. */
size_t data_frame(struct session *s, const char *bytes, size_t len, int is_end);
/* a message begins */
void data_start(struct session *s);
/* everything is there: commits, or says why not */
void data_over(struct session *s);

/* verb_bdat.c: a BDAT that another rule refuses with r: its octets are read and dropped first */
enum reply chunk_drop(struct session *s, const struct command *c, enum reply r);
/* takes octets that BDAT announced, returns how many */
size_t chunk_feed(struct session *s, const char *bytes, size_t len);
/* the intake is ready for the message */
void chunk_opened(struct session *s);
/* the intake gave the message up */
void chunk_refused(struct session *s);
/* goes on after the intake was slow */
void chunk_go_on(struct session *s);
/* the framing is lost: what to say, and the session ends */
enum reply verb_lose(struct session *s);

/* what is still to come is read to its end and dropped; then this is the reply (or text,
 * when it is not NULL) */
void data_refuse(struct session *s, enum reply r, const char *text);

/* whether why (from address_path() or hello_judge()) says that memory is out */
int verb_no_memory(const char *why);
/* the reply to a parameter of MAIL or RCPT that is not offered; names it */
enum reply verb_unknown_parameter(struct session *s, const struct command_param *p);
/* whether the verb (a bit of common/verbs.h) is offered in this session */
int verb_offers(struct session *s, uint32_t bit);
/* whether what was sent needs SMTPUTF8 and the client did not ask for it, or asked in vain:
 * the argument of the reply then says what to do */
int verb_lacks_utf8(struct session *s, int is_asked);
/* whether a domain in UTF-8 is one: has A-labels */
int verb_is_domain(const char *domain);
/* a local part or host without a domain gets ours: "domain", or else "hostname" */
const char *verb_own_domain(void);

#endif
