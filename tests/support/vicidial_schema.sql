-- Tables of VICIdial's database (schema 1728) as far as this project reads or writes them, and what its dialling scripts
-- write around a call. Names, types, keys and engines are VICIdial's; columns nobody here touches are left out.

CREATE TABLE vicidial_manager (
  man_id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  uniqueid VARCHAR(20), entry_date DATETIME, status ENUM('NEW','QUEUE','SENT','UPDATED','DEAD'), response ENUM('Y','N'),
  server_ip VARCHAR(15) NOT NULL, channel VARCHAR(100), action VARCHAR(20), callerid VARCHAR(20),
  cmd_line_b VARCHAR(100), cmd_line_c VARCHAR(100), cmd_line_d VARCHAR(200), cmd_line_e VARCHAR(100),
  cmd_line_f VARCHAR(100), cmd_line_g VARCHAR(100), cmd_line_h VARCHAR(100), cmd_line_i VARCHAR(50),
  cmd_line_j VARCHAR(50), cmd_line_k VARCHAR(100),
  KEY (callerid), KEY (uniqueid), KEY serverstat (server_ip, status)
) ENGINE=MyISAM;

CREATE TABLE vicidial_auto_calls (
  auto_call_id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  server_ip VARCHAR(15) NOT NULL,
  campaign_id VARCHAR(20),
  status ENUM('SENT','RINGING','LIVE','XFER','PAUSED','CLOSER','BUSY','DISCONNECT','IVR') DEFAULT 'PAUSED',
  lead_id INT UNSIGNED NOT NULL,
  uniqueid VARCHAR(20), callerid VARCHAR(20), channel VARCHAR(100),
  phone_code VARCHAR(10), phone_number VARCHAR(18),
  call_time DATETIME,
  call_type ENUM('IN','OUT','OUTBALANCE') DEFAULT 'OUT',
  stage VARCHAR(20) DEFAULT 'START',
  last_update_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  alt_dial VARCHAR(6) DEFAULT 'NONE', queue_priority TINYINT DEFAULT 0,
  agent_only VARCHAR(20) DEFAULT '', agent_grab VARCHAR(20) DEFAULT '', queue_position SMALLINT UNSIGNED DEFAULT 1,
  extension VARCHAR(100) DEFAULT '', agent_grab_extension VARCHAR(100) DEFAULT '',
  KEY (uniqueid), KEY (callerid), KEY (call_time), KEY (last_update_time)
) ENGINE=MEMORY;

CREATE TABLE vicidial_hopper (
  hopper_id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  lead_id INT UNSIGNED NOT NULL,
  campaign_id VARCHAR(8),
  status ENUM('READY','QUEUE','INCALL','DONE','HOLD','DNC','RHOLD','RQUEUE') DEFAULT 'READY',
  user VARCHAR(20), list_id BIGINT UNSIGNED NOT NULL, gmt_offset_now DECIMAL(4,2) DEFAULT '0.00', state VARCHAR(2) DEFAULT '',
  alt_dial VARCHAR(6) DEFAULT 'NONE', priority TINYINT DEFAULT 0, source VARCHAR(1) DEFAULT '',
  vendor_lead_code VARCHAR(20) DEFAULT '',
  KEY (lead_id)
) ENGINE=MEMORY;

CREATE TABLE vicidial_list (
  lead_id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  entry_date DATETIME, status VARCHAR(6), user VARCHAR(20), list_id BIGINT UNSIGNED NOT NULL DEFAULT 0,
  phone_code VARCHAR(10), phone_number VARCHAR(18) NOT NULL, first_name VARCHAR(30), last_name VARCHAR(30),
  address1 VARCHAR(100), address2 VARCHAR(100), address3 VARCHAR(100), city VARCHAR(50), state VARCHAR(2),
  alt_phone VARCHAR(12), security_phrase VARCHAR(100), comments VARCHAR(255),
  called_count SMALLINT UNSIGNED DEFAULT 0, last_local_call_time DATETIME,
  KEY (phone_number), KEY (list_id), KEY (status)
) ENGINE=MyISAM;

CREATE TABLE vicidial_live_agents (
  live_agent_id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  user VARCHAR(20), server_ip VARCHAR(15) NOT NULL, conf_exten VARCHAR(20), extension VARCHAR(100),
  status ENUM('READY','QUEUE','INCALL','PAUSED','CLOSER','MQUEUE') DEFAULT 'PAUSED',
  lead_id INT UNSIGNED NOT NULL, campaign_id VARCHAR(8), uniqueid VARCHAR(20), callerid VARCHAR(20), channel VARCHAR(100),
  last_call_time DATETIME, comments VARCHAR(20),
  KEY (user), KEY (lead_id)
) ENGINE=MyISAM;

CREATE TABLE vicidial_dial_log (
  caller_code VARCHAR(30) NOT NULL, lead_id INT UNSIGNED DEFAULT 0, server_ip VARCHAR(15), call_date DATETIME,
  extension VARCHAR(100) DEFAULT '', channel VARCHAR(100) DEFAULT '', context VARCHAR(100) DEFAULT '',
  timeout MEDIUMINT UNSIGNED DEFAULT 0, outbound_cid VARCHAR(100) DEFAULT '',
  KEY (caller_code), KEY (lead_id), KEY (call_date)
) ENGINE=MyISAM;

CREATE TABLE vicidial_dial_cid_log (
  caller_code VARCHAR(30) NOT NULL, call_date DATETIME,
  call_type ENUM('OUT','OUTBALANCE','MANUAL','OVERRIDE','3WAY') DEFAULT 'OUT',
  call_alt VARCHAR(20) DEFAULT '', outbound_cid VARCHAR(20) DEFAULT '', outbound_cid_type VARCHAR(20) DEFAULT '',
  KEY (caller_code), KEY (call_date)
) ENGINE=MyISAM;

CREATE TABLE vicidial_user_dial_log (
  caller_code VARCHAR(30) NOT NULL, user VARCHAR(20) DEFAULT '', call_date DATETIME, call_type VARCHAR(10) DEFAULT '',
  notes VARCHAR(100) DEFAULT '',
  KEY (caller_code), KEY (user), KEY (call_date)
) ENGINE=MyISAM;

CREATE TABLE vicidial_campaigns (
  campaign_id VARCHAR(8) NOT NULL PRIMARY KEY, campaign_name VARCHAR(40), active ENUM('Y','N'),
  dial_prefix VARCHAR(20) DEFAULT '9', manual_dial_prefix VARCHAR(20) DEFAULT '',
  campaign_cid VARCHAR(20) DEFAULT '0000000000',
  use_custom_cid ENUM('Y','N','AREACODE','USER_CUSTOM_1','USER_CUSTOM_2','USER_CUSTOM_3','USER_CUSTOM_4','USER_CUSTOM_5')
    DEFAULT 'N',
  cid_group_id VARCHAR(20) DEFAULT '---DISABLED---', cid_group_id_two VARCHAR(20) DEFAULT '---DISABLED---'
) ENGINE=MyISAM;

CREATE TABLE vicidial_lists (
  list_id BIGINT UNSIGNED NOT NULL PRIMARY KEY, list_name VARCHAR(30), campaign_id VARCHAR(8), active ENUM('Y','N'),
  campaign_cid_override VARCHAR(20) DEFAULT '', cid_group_id VARCHAR(20) DEFAULT '---DISABLED---',
  dial_prefix VARCHAR(20) DEFAULT ''
) ENGINE=MyISAM;

CREATE TABLE vicidial_cid_groups (
  cid_group_id VARCHAR(20) NOT NULL PRIMARY KEY, cid_group_notes VARCHAR(255) DEFAULT '',
  cid_group_type ENUM('AREACODE','STATE','NONE') DEFAULT 'AREACODE',
  cid_auto_rotate_minutes MEDIUMINT UNSIGNED DEFAULT 0, cid_auto_rotate_minimum MEDIUMINT UNSIGNED DEFAULT 0,
  cid_auto_rotate_calls MEDIUMINT UNSIGNED DEFAULT 0, cid_last_auto_rotate DATETIME, cid_auto_rotate_cid VARCHAR(20) DEFAULT ''
) ENGINE=MyISAM;

CREATE TABLE vicidial_campaign_cid_areacodes (
  campaign_id VARCHAR(20) NOT NULL, areacode VARCHAR(5) NOT NULL, outbound_cid VARCHAR(20),
  active ENUM('Y','N','') DEFAULT '', cid_description VARCHAR(50), call_count_today MEDIUMINT DEFAULT 0,
  UNIQUE KEY campareacode (campaign_id, areacode, outbound_cid), KEY (areacode)
) ENGINE=MyISAM;
