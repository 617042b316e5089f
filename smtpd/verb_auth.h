/* verb_auth.h - AUTH: what the session needs to know of it */
#ifndef SMTPD_VERB_AUTH_H
#define SMTPD_VERB_AUTH_H

#include "smtpd/command.h"
#include "smtpd/session.h"

#define AUTH_LINE_MAX SASL_LINE_MAX /* with its line end: RFC 4954 4 asks for no less */

/* the mechanisms that this client may use now, as bits */
unsigned int auth_offered(struct session *s);

/* the line that answers a challenge, and one that is too long to be read */
void auth_response(struct session *s, const char *line, size_t len);
void auth_too_long(struct session *s);

/* whether a line that may not be complete begins an AUTH command */
int auth_is_command(const char *line, size_t len);
/* what of a refused command may be logged: of AUTH the word, and nothing of what makes no
 * sense after an AUTH, which may be its password */
void auth_hide(struct session *s, const struct command *c, enum reply r, const char **line, size_t *len);

#endif
