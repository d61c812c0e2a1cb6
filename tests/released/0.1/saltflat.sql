BEGIN TRANSACTION;
CREATE TABLE decision_events (
	id INTEGER NOT NULL, 
	"key" VARCHAR(64) NOT NULL, 
	batch VARCHAR(64) NOT NULL, 
	run VARCHAR(64) NOT NULL, 
	"row" INTEGER NOT NULL, 
	sample TEXT NOT NULL, 
	action VARCHAR(16) NOT NULL, 
	old_label TEXT, 
	new_label TEXT, 
	score FLOAT, 
	rank INTEGER, 
	reviewer TEXT NOT NULL, 
	at FLOAT NOT NULL, 
	undoes INTEGER, 
	PRIMARY KEY (id), 
	UNIQUE (run, "key"), 
	FOREIGN KEY(undoes) REFERENCES decision_events (id)
);
INSERT INTO "decision_events" VALUES(1,'a:0','a','d1a60e33bc44',0,'digits/0782','relabel','2','7',81399336.0,1,'ana',1.7955812604008982181e+09,NULL);
INSERT INTO "decision_events" VALUES(2,'b:1','b','d1a60e33bc44',1,'digits/1099','keep','0',NULL,6138.9267578125,2,'ana',1.79558126040554046631e+09,NULL);
INSERT INTO "decision_events" VALUES(3,'b:2','b','d1a60e33bc44',2,'digits/0143','keep','7',NULL,182105920.0,3,'ana',1.79558126040554046631e+09,NULL);
INSERT INTO "decision_events" VALUES(4,'c:1','c','d1a60e33bc44',1,'digits/1099','exclude','0',NULL,6138.9267578125,2,'bo',1.79558126040907382967e+09,NULL);
INSERT INTO "decision_events" VALUES(5,'d:3','d','d1a60e33bc44',3,'digits/1505','unsure','8',NULL,136032432.0,4,'bo',1.79558126041119861604e+09,NULL);
INSERT INTO "decision_events" VALUES(6,'d:4','d','d1a60e33bc44',4,'digits/1414','relabel','3','9',114750696.0,5,'bo',1.79558126041119861604e+09,NULL);
INSERT INTO "decision_events" VALUES(7,'1d8ce56e869943aa9ebab95ce9b84735','58a6cf921a5341a7be3059b1f63e911e','d1a60e33bc44',3,'digits/1505','undo',NULL,'8',136032432.0,4,'bo',1.79558126041721105572e+09,5);
INSERT INTO "decision_events" VALUES(8,'6237209a4a454e92bfae7ac7edf1cd33','58a6cf921a5341a7be3059b1f63e911e','d1a60e33bc44',4,'digits/1414','undo','9','3',114750696.0,5,'bo',1.79558126041721105572e+09,6);
INSERT INTO "decision_events" VALUES(9,'d1b0e44ded2f4bd1b2d778bfb93442fa','d1b0e44ded2f4bd1b2d778bfb93442fa','d1a60e33bc44',5,'digits/0256','exclude','0',NULL,1.42000064849853515625e+01,6,'ana',1.79558126042083334925e+09,NULL);
INSERT INTO "decision_events" VALUES(10,'a694264669454321b084da2cde91b589','a694264669454321b084da2cde91b589','d1a60e33bc44',5,'digits/0256','clear','0',NULL,1.42000064849853515625e+01,6,'ana',1.7955812604227569103e+09,NULL);
CREATE TABLE jobs (
	id INTEGER NOT NULL, 
	run_path TEXT NOT NULL, 
	device VARCHAR(32) NOT NULL, 
	host TEXT NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	phase VARCHAR(16) NOT NULL, 
	done INTEGER NOT NULL, 
	total INTEGER NOT NULL, 
	rate FLOAT NOT NULL, 
	error TEXT NOT NULL, 
	pid INTEGER, 
	pid_started FLOAT, 
	created FLOAT NOT NULL, 
	started FLOAT, 
	ended FLOAT, 
	heartbeat FLOAT, 
	cancel_asked FLOAT, 
	PRIMARY KEY (id)
);
INSERT INTO "jobs" VALUES(1,'/home/ana/saltflat/runs/plain','cpu','elsewhere','done','',0,0,0.0,'',NULL,NULL,1.79558120042407011983e+09,1.79558121042407011986e+09,1.0,1.79558126042407011991e+09,NULL);
CREATE INDEX decision_events_run_row ON decision_events (run, "row");
CREATE INDEX decision_events_undoes ON decision_events (undoes);
COMMIT;
