BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0005');
CREATE TABLE duties (
	name VARCHAR(64) NOT NULL, 
	owner VARCHAR(128), 
	node_id VARCHAR(64), 
	token VARCHAR(64), 
	until_us BIGINT, 
	term BIGINT DEFAULT '0' NOT NULL, 
	since_us BIGINT, 
	CONSTRAINT pk_duties PRIMARY KEY (name)
);
CREATE TABLE events (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	created_us BIGINT NOT NULL, 
	type VARCHAR(64) NOT NULL, 
	project_id VARCHAR(64), 
	user_id VARCHAR(64), 
	data TEXT NOT NULL
);
INSERT INTO "events" VALUES(1,1795914926523000,'identity.domain.created',NULL,NULL,'{"id":"default","name":"Default","enabled":true}');
INSERT INTO "events" VALUES(2,1795914926524000,'identity.role.created',NULL,NULL,'{"id":"ccc61cd9b46851a4a09de781287c2026","name":"admin"}');
INSERT INTO "events" VALUES(3,1795914926524000,'identity.role.created',NULL,NULL,'{"id":"f3553d13f1ec56d4b2edd918f94f775d","name":"manager"}');
INSERT INTO "events" VALUES(4,1795914926525000,'identity.role.created',NULL,NULL,'{"id":"1be56d000ca753d49208bd0fdce1500f","name":"member"}');
INSERT INTO "events" VALUES(5,1795914926525000,'identity.role.created',NULL,NULL,'{"id":"ecc9ee7f464c530c9c39094604f24561","name":"reader"}');
INSERT INTO "events" VALUES(6,1795914926814000,'identity.project.created','6b2f2648ade44c6fad470e80c52198af',NULL,'{"id":"6b2f2648ade44c6fad470e80c52198af","name":"admin","domain_id":"default","enabled":true}');
INSERT INTO "events" VALUES(7,1795914926815000,'identity.user.created',NULL,'ade3f446b3ad492997ff8b9b806c8c8b','{"id":"ade3f446b3ad492997ff8b9b806c8c8b","name":"admin","domain_id":"default","enabled":true}');
INSERT INTO "events" VALUES(8,1795914926933000,'identity.project.created','3240b589ee5e49988ae710c2cc382446',NULL,'{"id":"3240b589ee5e49988ae710c2cc382446","name":"demo","domain_id":"default","enabled":true}');
INSERT INTO "events" VALUES(9,1795914926933000,'identity.user.created',NULL,'1ad2bc7204e94d7e909f1d66c5863a56','{"id":"1ad2bc7204e94d7e909f1d66c5863a56","name":"demo","domain_id":"default","enabled":true}');
INSERT INTO "events" VALUES(10,1795914926934000,'identity.role_assignment.created','6b2f2648ade44c6fad470e80c52198af','ade3f446b3ad492997ff8b9b806c8c8b','{"user_id":"ade3f446b3ad492997ff8b9b806c8c8b","role_id":"ccc61cd9b46851a4a09de781287c2026"}');
INSERT INTO "events" VALUES(11,1795914926934000,'identity.role_assignment.created',NULL,'ade3f446b3ad492997ff8b9b806c8c8b','{"user_id":"ade3f446b3ad492997ff8b9b806c8c8b","role_id":"ccc61cd9b46851a4a09de781287c2026","domain_id":"default"}');
INSERT INTO "events" VALUES(12,1795914926935000,'identity.role_assignment.created','3240b589ee5e49988ae710c2cc382446','1ad2bc7204e94d7e909f1d66c5863a56','{"user_id":"1ad2bc7204e94d7e909f1d66c5863a56","role_id":"1be56d000ca753d49208bd0fdce1500f"}');
INSERT INTO "events" VALUES(13,1795914926936000,'identity.ec2_credential.created','3240b589ee5e49988ae710c2cc382446','1ad2bc7204e94d7e909f1d66c5863a56','{"access":"a08acd7ed8b0403996ad6d7846f2dedb","user_id":"1ad2bc7204e94d7e909f1d66c5863a56"}');
INSERT INTO "events" VALUES(14,1795914926943000,'node.joined',NULL,NULL,'{"node_id": "11111111111111111111111111111111", "name": "node-1", "by": "its first start"}');
INSERT INTO "events" VALUES(15,1795914926948000,'node.joined',NULL,NULL,'{"node_id": "22222222222222222222222222222222", "name": "node-2", "by": "its first start"}');
CREATE TABLE identity_application_credential (
	id VARCHAR(64) NOT NULL, 
	user_id VARCHAR(64) NOT NULL, 
	project_id VARCHAR(64) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	description TEXT DEFAULT '' NOT NULL, 
	secret_hash TEXT NOT NULL, 
	unrestricted BOOLEAN DEFAULT 0 NOT NULL, 
	expires_us BIGINT, 
	created_us BIGINT NOT NULL, 
	CONSTRAINT pk_identity_application_credential PRIMARY KEY (id), 
	CONSTRAINT uq_identity_application_credential_user_id_name UNIQUE (user_id, name), 
	CONSTRAINT fk_identity_application_credential_user_id FOREIGN KEY(user_id) REFERENCES identity_user (id) ON DELETE CASCADE, 
	CONSTRAINT fk_identity_application_credential_project_id FOREIGN KEY(project_id) REFERENCES identity_project (id) ON DELETE CASCADE
);
CREATE TABLE identity_application_credential_role (
	credential_id VARCHAR(64) NOT NULL, 
	role_id VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_identity_application_credential_role PRIMARY KEY (credential_id, role_id), 
	CONSTRAINT fk_identity_application_credential_role_credential_id FOREIGN KEY(credential_id) REFERENCES identity_application_credential (id) ON DELETE CASCADE, 
	CONSTRAINT fk_identity_application_credential_role_role_id FOREIGN KEY(role_id) REFERENCES identity_role (id) ON DELETE CASCADE
);
CREATE TABLE identity_domain (
	id VARCHAR(64) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	description TEXT DEFAULT '' NOT NULL, 
	enabled BOOLEAN DEFAULT 1 NOT NULL, 
	created_us BIGINT NOT NULL, 
	CONSTRAINT pk_identity_domain PRIMARY KEY (id), 
	CONSTRAINT uq_identity_domain_name UNIQUE (name)
);
INSERT INTO "identity_domain" VALUES('default','Default','The default domain',1,1795914926522404);
CREATE TABLE identity_domain_role (
	user_id VARCHAR(64) NOT NULL, 
	domain_id VARCHAR(64) NOT NULL, 
	role_id VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_identity_domain_role PRIMARY KEY (user_id, domain_id, role_id), 
	CONSTRAINT fk_identity_domain_role_user_id FOREIGN KEY(user_id) REFERENCES identity_user (id) ON DELETE CASCADE, 
	CONSTRAINT fk_identity_domain_role_domain_id FOREIGN KEY(domain_id) REFERENCES identity_domain (id) ON DELETE CASCADE, 
	CONSTRAINT fk_identity_domain_role_role_id FOREIGN KEY(role_id) REFERENCES identity_role (id) ON DELETE CASCADE
);
INSERT INTO "identity_domain_role" VALUES('ade3f446b3ad492997ff8b9b806c8c8b','default','ccc61cd9b46851a4a09de781287c2026');
CREATE TABLE identity_ec2_credential (
	access VARCHAR(64) NOT NULL, 
	user_id VARCHAR(64) NOT NULL, 
	project_id VARCHAR(64) NOT NULL, 
	sealed_secret TEXT NOT NULL, 
	created_us BIGINT NOT NULL, 
	CONSTRAINT pk_identity_ec2_credential PRIMARY KEY (access), 
	CONSTRAINT fk_identity_ec2_credential_user_id FOREIGN KEY(user_id) REFERENCES identity_user (id) ON DELETE CASCADE, 
	CONSTRAINT fk_identity_ec2_credential_project_id FOREIGN KEY(project_id) REFERENCES identity_project (id) ON DELETE CASCADE
);
INSERT INTO "identity_ec2_credential" VALUES('a08acd7ed8b0403996ad6d7846f2dedb','1ad2bc7204e94d7e909f1d66c5863a56','3240b589ee5e49988ae710c2cc382446','gAAAAABrC3yupoj6E-j8yz7JqZfuIc7jtOoNX4DvxdiNBXKfufGRkSUKYnFnzcgPbnuUpH1rmd1xoJL7MBffYYWZ9ZIt56AkNnV6_dGC5qBDgtXtYYM_7T51KdxzglcAni0lgfPnROgm',1795914926522404);
CREATE TABLE identity_implied_role (
	prior_id VARCHAR(64) NOT NULL, 
	implied_id VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_identity_implied_role PRIMARY KEY (prior_id, implied_id), 
	CONSTRAINT fk_identity_implied_role_prior_id FOREIGN KEY(prior_id) REFERENCES identity_role (id) ON DELETE CASCADE, 
	CONSTRAINT fk_identity_implied_role_implied_id FOREIGN KEY(implied_id) REFERENCES identity_role (id) ON DELETE CASCADE, 
	CONSTRAINT ck_identity_implied_role_ck_identity_implied_role_not_itself CHECK (prior_id <> implied_id)
);
INSERT INTO "identity_implied_role" VALUES('ccc61cd9b46851a4a09de781287c2026','f3553d13f1ec56d4b2edd918f94f775d');
INSERT INTO "identity_implied_role" VALUES('f3553d13f1ec56d4b2edd918f94f775d','1be56d000ca753d49208bd0fdce1500f');
INSERT INTO "identity_implied_role" VALUES('1be56d000ca753d49208bd0fdce1500f','ecc9ee7f464c530c9c39094604f24561');
CREATE TABLE identity_project (
	id VARCHAR(64) NOT NULL, 
	domain_id VARCHAR(64) NOT NULL, 
	parent_id VARCHAR(64), 
	name VARCHAR(64) NOT NULL, 
	description TEXT DEFAULT '' NOT NULL, 
	enabled BOOLEAN DEFAULT 1 NOT NULL, 
	created_us BIGINT NOT NULL, 
	CONSTRAINT pk_identity_project PRIMARY KEY (id), 
	CONSTRAINT uq_identity_project_domain_id_name UNIQUE (domain_id, name), 
	CONSTRAINT fk_identity_project_domain_id FOREIGN KEY(domain_id) REFERENCES identity_domain (id), 
	CONSTRAINT fk_identity_project_parent_id FOREIGN KEY(parent_id) REFERENCES identity_project (id)
);
INSERT INTO "identity_project" VALUES('6b2f2648ade44c6fad470e80c52198af','default',NULL,'admin','',1,1795914926522404);
INSERT INTO "identity_project" VALUES('3240b589ee5e49988ae710c2cc382446','default',NULL,'demo','',1,1795914926522404);
CREATE TABLE identity_project_role (
	user_id VARCHAR(64) NOT NULL, 
	project_id VARCHAR(64) NOT NULL, 
	role_id VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_identity_project_role PRIMARY KEY (user_id, project_id, role_id), 
	CONSTRAINT fk_identity_project_role_user_id FOREIGN KEY(user_id) REFERENCES identity_user (id) ON DELETE CASCADE, 
	CONSTRAINT fk_identity_project_role_project_id FOREIGN KEY(project_id) REFERENCES identity_project (id) ON DELETE CASCADE, 
	CONSTRAINT fk_identity_project_role_role_id FOREIGN KEY(role_id) REFERENCES identity_role (id) ON DELETE CASCADE
);
INSERT INTO "identity_project_role" VALUES('ade3f446b3ad492997ff8b9b806c8c8b','6b2f2648ade44c6fad470e80c52198af','ccc61cd9b46851a4a09de781287c2026');
INSERT INTO "identity_project_role" VALUES('1ad2bc7204e94d7e909f1d66c5863a56','3240b589ee5e49988ae710c2cc382446','1be56d000ca753d49208bd0fdce1500f');
CREATE TABLE identity_revocation (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	subject VARCHAR(160) NOT NULL, 
	issued_before_us BIGINT NOT NULL, 
	created_us BIGINT NOT NULL
);
CREATE TABLE identity_role (
	id VARCHAR(64) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	description TEXT DEFAULT '' NOT NULL, 
	created_us BIGINT NOT NULL, 
	CONSTRAINT pk_identity_role PRIMARY KEY (id), 
	CONSTRAINT uq_identity_role_name UNIQUE (name)
);
INSERT INTO "identity_role" VALUES('ccc61cd9b46851a4a09de781287c2026','admin','',1795914926522404);
INSERT INTO "identity_role" VALUES('f3553d13f1ec56d4b2edd918f94f775d','manager','',1795914926522404);
INSERT INTO "identity_role" VALUES('1be56d000ca753d49208bd0fdce1500f','member','',1795914926522404);
INSERT INTO "identity_role" VALUES('ecc9ee7f464c530c9c39094604f24561','reader','',1795914926522404);
CREATE TABLE identity_user (
	id VARCHAR(64) NOT NULL, 
	domain_id VARCHAR(64) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	description TEXT DEFAULT '' NOT NULL, 
	email VARCHAR(255), 
	default_project_id VARCHAR(64), 
	enabled BOOLEAN DEFAULT 1 NOT NULL, 
	password_hash TEXT, 
	created_us BIGINT NOT NULL, 
	CONSTRAINT pk_identity_user PRIMARY KEY (id), 
	CONSTRAINT uq_identity_user_domain_id_name UNIQUE (domain_id, name), 
	CONSTRAINT fk_identity_user_domain_id FOREIGN KEY(domain_id) REFERENCES identity_domain (id)
);
INSERT INTO "identity_user" VALUES('ade3f446b3ad492997ff8b9b806c8c8b','default','admin','',NULL,'6b2f2648ade44c6fad470e80c52198af',1,'$argon2id$v=19$m=19456,t=2,p=1$CeX9LO69vZOK7SacM/9i3g$lmNjG3cwn5N3OU3u1pTG2ZY+jwkhdfFYwMICCQwLTFg',1795914926522404);
INSERT INTO "identity_user" VALUES('1ad2bc7204e94d7e909f1d66c5863a56','default','demo','',NULL,'3240b589ee5e49988ae710c2cc382446',1,'$argon2id$v=19$m=19456,t=2,p=1$U6ec1nXOYt9gSSdRUbp8sw$c23bqN8nMy2tabIxjjP6V48vC6Em9egRtx3fVvgzw4k',1795914926522404);
CREATE TABLE node_authority (
	id INTEGER NOT NULL, 
	certificate TEXT NOT NULL, 
	sealed_key TEXT NOT NULL, 
	created_us BIGINT NOT NULL, 
	CONSTRAINT pk_node_authority PRIMARY KEY (id)
);
CREATE TABLE node_tokens (
	id VARCHAR(64) NOT NULL, 
	secret_hash VARCHAR(64) NOT NULL, 
	roles TEXT NOT NULL, 
	made_by VARCHAR(255) NOT NULL, 
	created_us BIGINT NOT NULL, 
	expires_us BIGINT NOT NULL, 
	used_us BIGINT, 
	node_id VARCHAR(64), 
	CONSTRAINT pk_node_tokens PRIMARY KEY (id)
);
CREATE TABLE nodes (
	id VARCHAR(64) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	roles TEXT DEFAULT '[]' NOT NULL, 
	address VARCHAR(255) DEFAULT '' NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	state_us BIGINT NOT NULL, 
	state_by VARCHAR(255) DEFAULT '' NOT NULL, 
	version VARCHAR(64) DEFAULT '' NOT NULL, 
	code_hash VARCHAR(64) DEFAULT '' NOT NULL, 
	generation BIGINT DEFAULT '0' NOT NULL, 
	payloads TEXT DEFAULT '{}' NOT NULL, 
	load TEXT DEFAULT '{}' NOT NULL, 
	beat_us BIGINT DEFAULT '0' NOT NULL, 
	contact_us BIGINT, 
	certificate_us BIGINT, 
	created_us BIGINT NOT NULL, 
	CONSTRAINT pk_nodes PRIMARY KEY (id), 
	CONSTRAINT ck_nodes_ck_nodes_state CHECK (state IN ('joining', 'ready', 'draining', 'drained', 'removed'))
);
INSERT INTO "nodes" VALUES('11111111111111111111111111111111','node-1','["api", "tasks"]','192.0.2.1:5010','ready',1795914926942000,'its first start','0.1.0','cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc',3,'{"objects.purge_container": [1], "objects.purge_account": [1]}','{"load1": 0.5, "cores": 2, "tasks": 1}',5000000,1795914926946000,NULL,1795914926942000);
INSERT INTO "nodes" VALUES('22222222222222222222222222222222','node-2','["api", "tasks"]','192.0.2.1:5010','ready',1795914926948000,'its first start','0.1.0','cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc',3,'{"objects.purge_container": [1], "objects.purge_account": [1]}','{"load1": 0.5, "cores": 2, "tasks": 1}',5000000,1795914926949000,NULL,1795914926948000);
CREATE TABLE oldest_reader (
	revision VARCHAR(32) NOT NULL, 
	CONSTRAINT pk_oldest_reader PRIMARY KEY (revision)
);
INSERT INTO "oldest_reader" VALUES('0001');
CREATE TABLE tasks (
	id VARCHAR(64) NOT NULL, 
	kind VARCHAR(64) NOT NULL, 
	version INTEGER NOT NULL, 
	payload TEXT NOT NULL, 
	project_id VARCHAR(64), 
	resource VARCHAR(512) DEFAULT '' NOT NULL, 
	request_id VARCHAR(64) DEFAULT '' NOT NULL, 
	state VARCHAR(8) NOT NULL, 
	step VARCHAR(64) DEFAULT '' NOT NULL, 
	step_version INTEGER, 
	step_state TEXT, 
	progress BIGINT DEFAULT '0' NOT NULL, 
	total BIGINT DEFAULT '0' NOT NULL, 
	attempts INTEGER DEFAULT '0' NOT NULL, 
	due_us BIGINT, 
	lease_owner VARCHAR(128), 
	lease_token VARCHAR(64), 
	deadline_us BIGINT, 
	cancel_cause TEXT, 
	cause TEXT DEFAULT '' NOT NULL, 
	result TEXT, 
	created_us BIGINT NOT NULL, 
	updated_us BIGINT NOT NULL, 
	CONSTRAINT pk_tasks PRIMARY KEY (id), 
	CONSTRAINT ck_tasks_ck_tasks_state CHECK (state IN ('queued', 'running', 'done', 'failed'))
);
INSERT INTO "tasks" VALUES('76091a1bdf6f4cfc92e7ebac7406faf4','objects.purge_container',1,'{"account":"AUTH_p","container":"photos","created_us":1700000000000000}','p','AUTH_p/photos','','running','',1,'{"deleted":500,"container":"photos","count":3,"last":"o-3"}',500,503,0,1795914986961000,'a host','e6f99b4a0405454f83be7591aac23a44',NULL,NULL,'',NULL,1795914926952000,1795914926961000);
INSERT INTO "tasks" VALUES('786e6f8dd7ec461db6cad8dbb5268d20','objects.purge_container',1,'{"account":"AUTH_p","container":"gone","created_us":1700000000000000}',NULL,'AUTH_p/gone','','done','',NULL,NULL,0,0,1,NULL,NULL,NULL,NULL,NULL,'','{"deleted": 7}',1795914926963000,1795914926970000);
INSERT INTO "tasks" VALUES('173c8daaf98a48dcb2c3c8e1f721ecf7','objects.purge_account',1,'{"account":"AUTH_q"}','q','AUTH_q','','queued','',NULL,NULL,0,0,0,1795918526974000,NULL,NULL,NULL,NULL,'',NULL,1795914926974000,1795914926974000);
CREATE INDEX ix_identity_project_parent_id ON identity_project (parent_id);
CREATE INDEX ix_identity_project_role_project_id ON identity_project_role (project_id);
CREATE INDEX ix_identity_project_role_role_id ON identity_project_role (role_id);
CREATE INDEX ix_identity_domain_role_domain_id ON identity_domain_role (domain_id);
CREATE INDEX ix_identity_domain_role_role_id ON identity_domain_role (role_id);
CREATE INDEX ix_identity_application_credential_project_id ON identity_application_credential (project_id);
CREATE INDEX ix_identity_application_credential_role_role_id ON identity_application_credential_role (role_id);
CREATE INDEX ix_identity_ec2_credential_user_id ON identity_ec2_credential (user_id);
CREATE INDEX ix_identity_ec2_credential_project_id ON identity_ec2_credential (project_id);
CREATE INDEX ix_identity_revocation_subject_issued_before_us ON identity_revocation (subject, issued_before_us);
CREATE INDEX ix_identity_revocation_created_us ON identity_revocation (created_us);
CREATE INDEX ix_events_project_id_id ON events (project_id, id);
CREATE TRIGGER event_identity_domain_created AFTER INSERT ON identity_domain BEGIN INSERT INTO events (created_us, type, project_id, user_id, data) VALUES (CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, 'identity.domain.created', NULL, NULL, json_object('id', NEW.id, 'name', NEW.name, 'enabled', json(CASE NEW.enabled WHEN 0 THEN 'false' ELSE 'true' END))); END;
CREATE TRIGGER event_identity_domain_updated AFTER UPDATE ON identity_domain BEGIN INSERT INTO events (created_us, type, project_id, user_id, data) VALUES (CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, 'identity.domain.updated', NULL, NULL, json_object('id', NEW.id, 'name', NEW.name, 'enabled', json(CASE NEW.enabled WHEN 0 THEN 'false' ELSE 'true' END))); END;
CREATE TRIGGER event_identity_domain_deleted AFTER DELETE ON identity_domain BEGIN INSERT INTO events (created_us, type, project_id, user_id, data) VALUES (CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, 'identity.domain.deleted', NULL, NULL, json_object('id', OLD.id, 'name', OLD.name, 'enabled', json(CASE OLD.enabled WHEN 0 THEN 'false' ELSE 'true' END))); END;
CREATE TRIGGER event_identity_project_created AFTER INSERT ON identity_project BEGIN INSERT INTO events (created_us, type, project_id, user_id, data) VALUES (CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, 'identity.project.created', NEW.id, NULL, json_object('id', NEW.id, 'name', NEW.name, 'domain_id', NEW.domain_id, 'enabled', json(CASE NEW.enabled WHEN 0 THEN 'false' ELSE 'true' END))); END;
CREATE TRIGGER event_identity_project_updated AFTER UPDATE ON identity_project BEGIN INSERT INTO events (created_us, type, project_id, user_id, data) VALUES (CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, 'identity.project.updated', NEW.id, NULL, json_object('id', NEW.id, 'name', NEW.name, 'domain_id', NEW.domain_id, 'enabled', json(CASE NEW.enabled WHEN 0 THEN 'false' ELSE 'true' END))); END;
CREATE TRIGGER event_identity_project_deleted AFTER DELETE ON identity_project BEGIN INSERT INTO events (created_us, type, project_id, user_id, data) VALUES (CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, 'identity.project.deleted', OLD.id, NULL, json_object('id', OLD.id, 'name', OLD.name, 'domain_id', OLD.domain_id, 'enabled', json(CASE OLD.enabled WHEN 0 THEN 'false' ELSE 'true' END))); END;
CREATE TRIGGER event_identity_user_created AFTER INSERT ON identity_user BEGIN INSERT INTO events (created_us, type, project_id, user_id, data) VALUES (CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, 'identity.user.created', NULL, NEW.id, json_object('id', NEW.id, 'name', NEW.name, 'domain_id', NEW.domain_id, 'enabled', json(CASE NEW.enabled WHEN 0 THEN 'false' ELSE 'true' END))); END;
CREATE TRIGGER event_identity_user_updated AFTER UPDATE ON identity_user BEGIN INSERT INTO events (created_us, type, project_id, user_id, data) VALUES (CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, 'identity.user.updated', NULL, NEW.id, json_object('id', NEW.id, 'name', NEW.name, 'domain_id', NEW.domain_id, 'enabled', json(CASE NEW.enabled WHEN 0 THEN 'false' ELSE 'true' END))); END;
CREATE TRIGGER event_identity_user_deleted AFTER DELETE ON identity_user BEGIN INSERT INTO events (created_us, type, project_id, user_id, data) VALUES (CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, 'identity.user.deleted', NULL, OLD.id, json_object('id', OLD.id, 'name', OLD.name, 'domain_id', OLD.domain_id, 'enabled', json(CASE OLD.enabled WHEN 0 THEN 'false' ELSE 'true' END))); END;
CREATE TRIGGER event_identity_role_created AFTER INSERT ON identity_role BEGIN INSERT INTO events (created_us, type, project_id, user_id, data) VALUES (CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, 'identity.role.created', NULL, NULL, json_object('id', NEW.id, 'name', NEW.name)); END;
CREATE TRIGGER event_identity_role_updated AFTER UPDATE ON identity_role BEGIN INSERT INTO events (created_us, type, project_id, user_id, data) VALUES (CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, 'identity.role.updated', NULL, NULL, json_object('id', NEW.id, 'name', NEW.name)); END;
CREATE TRIGGER event_identity_role_deleted AFTER DELETE ON identity_role BEGIN INSERT INTO events (created_us, type, project_id, user_id, data) VALUES (CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, 'identity.role.deleted', NULL, NULL, json_object('id', OLD.id, 'name', OLD.name)); END;
CREATE TRIGGER event_identity_project_role_created AFTER INSERT ON identity_project_role BEGIN INSERT INTO events (created_us, type, project_id, user_id, data) VALUES (CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, 'identity.role_assignment.created', NEW.project_id, NEW.user_id, json_object('user_id', NEW.user_id, 'role_id', NEW.role_id)); END;
CREATE TRIGGER event_identity_project_role_updated AFTER UPDATE ON identity_project_role BEGIN INSERT INTO events (created_us, type, project_id, user_id, data) VALUES (CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, 'identity.role_assignment.updated', NEW.project_id, NEW.user_id, json_object('user_id', NEW.user_id, 'role_id', NEW.role_id)); END;
CREATE TRIGGER event_identity_project_role_deleted AFTER DELETE ON identity_project_role BEGIN INSERT INTO events (created_us, type, project_id, user_id, data) VALUES (CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, 'identity.role_assignment.deleted', OLD.project_id, OLD.user_id, json_object('user_id', OLD.user_id, 'role_id', OLD.role_id)); END;
CREATE TRIGGER event_identity_domain_role_created AFTER INSERT ON identity_domain_role BEGIN INSERT INTO events (created_us, type, project_id, user_id, data) VALUES (CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, 'identity.role_assignment.created', NULL, NEW.user_id, json_object('user_id', NEW.user_id, 'role_id', NEW.role_id, 'domain_id', NEW.domain_id)); END;
CREATE TRIGGER event_identity_domain_role_updated AFTER UPDATE ON identity_domain_role BEGIN INSERT INTO events (created_us, type, project_id, user_id, data) VALUES (CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, 'identity.role_assignment.updated', NULL, NEW.user_id, json_object('user_id', NEW.user_id, 'role_id', NEW.role_id, 'domain_id', NEW.domain_id)); END;
CREATE TRIGGER event_identity_domain_role_deleted AFTER DELETE ON identity_domain_role BEGIN INSERT INTO events (created_us, type, project_id, user_id, data) VALUES (CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, 'identity.role_assignment.deleted', NULL, OLD.user_id, json_object('user_id', OLD.user_id, 'role_id', OLD.role_id, 'domain_id', OLD.domain_id)); END;
CREATE TRIGGER event_identity_application_credential_created AFTER INSERT ON identity_application_credential BEGIN INSERT INTO events (created_us, type, project_id, user_id, data) VALUES (CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, 'identity.application_credential.created', NEW.project_id, NEW.user_id, json_object('id', NEW.id, 'name', NEW.name, 'user_id', NEW.user_id)); END;
CREATE TRIGGER event_identity_application_credential_updated AFTER UPDATE ON identity_application_credential BEGIN INSERT INTO events (created_us, type, project_id, user_id, data) VALUES (CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, 'identity.application_credential.updated', NEW.project_id, NEW.user_id, json_object('id', NEW.id, 'name', NEW.name, 'user_id', NEW.user_id)); END;
CREATE TRIGGER event_identity_application_credential_deleted AFTER DELETE ON identity_application_credential BEGIN INSERT INTO events (created_us, type, project_id, user_id, data) VALUES (CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, 'identity.application_credential.deleted', OLD.project_id, OLD.user_id, json_object('id', OLD.id, 'name', OLD.name, 'user_id', OLD.user_id)); END;
CREATE TRIGGER event_identity_ec2_credential_created AFTER INSERT ON identity_ec2_credential BEGIN INSERT INTO events (created_us, type, project_id, user_id, data) VALUES (CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, 'identity.ec2_credential.created', NEW.project_id, NEW.user_id, json_object('access', NEW.access, 'user_id', NEW.user_id)); END;
CREATE TRIGGER event_identity_ec2_credential_updated AFTER UPDATE ON identity_ec2_credential BEGIN INSERT INTO events (created_us, type, project_id, user_id, data) VALUES (CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, 'identity.ec2_credential.updated', NEW.project_id, NEW.user_id, json_object('access', NEW.access, 'user_id', NEW.user_id)); END;
CREATE TRIGGER event_identity_ec2_credential_deleted AFTER DELETE ON identity_ec2_credential BEGIN INSERT INTO events (created_us, type, project_id, user_id, data) VALUES (CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, 'identity.ec2_credential.deleted', OLD.project_id, OLD.user_id, json_object('access', OLD.access, 'user_id', OLD.user_id)); END;
CREATE INDEX ix_tasks_due_us ON tasks (due_us);
CREATE INDEX ix_tasks_state_updated_us ON tasks (state, updated_us);
CREATE INDEX ix_tasks_created_us ON tasks (created_us);
CREATE INDEX ix_tasks_resource ON tasks (resource);
CREATE INDEX ix_nodes_name ON nodes (name);
CREATE INDEX ix_nodes_state_contact_us ON nodes (state, contact_us);
CREATE INDEX ix_node_tokens_expires_us ON node_tokens (expires_us);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('events',15);
COMMIT;
