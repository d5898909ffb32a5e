;;; fimd-daemon.el --- The one fimd process that all buffers share  -*- lexical-binding: t -*-

;; Copyright (C) 2026 The fimd authors

;; SPDX-License-Identifier: Apache-2.0

;;; Commentary:

;; Eglot manages one server per buffer, so ghost text beside clangd or pyright needs a connection
;; of its own.  It is one for all buffers, since the daemon keeps a model in memory.
;;
;; Nothing here waits for the daemon.  When it ends by itself it is started again, at most
;; `fimd-restart-limit' times a minute, so that a broken model does not start it for ever.

;;; Code:

(require 'cl-lib)
(require 'eieio)
(require 'jsonrpc)
(require 'url-util)

(defcustom fimd-program "fimd"
  "The fimd program: a name to be found in variable `exec-path', or a file name."
  :type 'string
  :risky t
  :group 'fimd)

(defcustom fimd-arguments nil
  "Command-line options of the daemon, as a list of strings.
For example (\"--model\" \"Qwen2.5-Coder-1.5B\" \"--threads\" \"4\").
A folder's local variables cannot set them unasked: one names a file to write."
  :type '(repeat string)
  :risky t
  :group 'fimd)

(defcustom fimd-settings nil
  "The daemon's settings, as an alist.
For example ((maxLines . 4) (midLine . t) (languages . ((markdown . nil)))).
A value of t is true, nil is false.  The keys are those in fimd's README.
Changed with \\[customize-variable] or `setopt', they hold at once."
  :type '(alist :key-type symbol :value-type sexp)
  :set (lambda (symbol value)
         (set-default symbol value)
         (when (fboundp 'fimd-daemon-configure)
           (fimd-daemon-configure)))
  :group 'fimd)

(defcustom fimd-restart-limit 3
  "How often within a minute a daemon that ended by itself is started again."
  :type 'natnum
  :group 'fimd)

(defcustom fimd-log-size 0
  "Size of the log of all messages, in the buffer *fimd events*; 0 keeps none.
The messages hold the text that you edit."
  :type 'natnum
  :group 'fimd)

(defclass fimd-connection (jsonrpc-process-connection)
  ((capabilities :initform nil :accessor fimd-connection-capabilities)
   (ready :initform nil :accessor fimd-connection-ready
          :documentation "Whether initialize was answered.")
   (roots :initform nil :accessor fimd-connection-roots
          :documentation "The workspace folders the daemon knows.")
   (watching :initform nil :accessor fimd-connection-watching
             :documentation "Whether it asked to be told of files that change.")
   (sent :initform nil :accessor fimd-connection-sent
         :documentation "The id of the request sent last.")
   (leaving :initform nil :accessor fimd-connection-leaving
            :documentation "Whether we asked it to end."))
  :documentation "A connection to a fimd daemon of our own.")

;; A daemon that has just been killed is noticed later: what jsonrpc.el would answer it is lost.
(cl-defmethod jsonrpc-connection-send :around ((conn fimd-connection) &rest _)
  "Send to CONN, unless its daemon has ended."
  (condition-case problem
      (cl-call-next-method)
    (error (when (jsonrpc-running-p conn)
             (signal (car problem) (cdr problem))))))

;; `jsonrpc-async-request' does not tell the id, without which nothing can be cancelled.
(cl-defmethod jsonrpc-connection-send :before ((conn fimd-connection)
                                               &key id method &allow-other-keys)
  "Remember in CONN the ID of the request METHOD."
  (when (and id method)
    (setf (fimd-connection-sent conn) id)))

(defvar fimd-daemon-connection nil "The connection to our daemon, or nil.")

(defvar fimd-daemon-state 'stopped
  "One of the symbols stopped, starting, loading, ready and failed.")

(defvar fimd-daemon-detail nil
  "What belongs to `fimd-daemon-state': a percentage, a model or a reason.")

(defvar fimd-daemon-ready-hook nil "Run when a daemon can take documents.")
(defvar fimd-daemon-gone-hook nil "Run when our daemon has ended, wanted or not.")
(defvar fimd-daemon-update-functions nil
  "Called with the connection, a request id, items, and whether these are all.")

(defvar fimd-daemon-watch-functions nil
  "Called with a folder in which the daemon wants to know of files that change.")

(defvar fimd-daemon--encodings ["utf-32" "utf-16"]
  "The position encodings we offer, the one that Emacs counts in first.")
(defvar fimd-daemon--ends nil "When daemons ended by themselves lately.")
(defvar fimd-daemon--told nil "What was said already, so that it is said once.")

(defun fimd-daemon--say (format &rest args)
  "Show the message FORMAT with ARGS unless it was shown before."
  (let ((text (apply #'format-message format args)))
    (unless (member text fimd-daemon--told)
      (push text fimd-daemon--told)
      (message "%s" text))))

(defun fimd-daemon--set-state (state &optional detail)
  "Note that the daemon is in STATE, with DETAIL, and show it in the mode lines."
  (setq fimd-daemon-state state
        fimd-daemon-detail detail)
  (force-mode-line-update t))

;;;; Settings and folders, as JSON

(defun fimd-daemon--json (value)
  "The VALUE of a setting as `json-serialize' takes it."
  (cond ((null value) :json-false)
        ((and (consp value) (consp (car value)))
         (cl-loop for (key . item) in value
                  collect (cons key (fimd-daemon--json item))))
        (t value)))

(defun fimd-daemon-options ()
  "The settings as an object, under the key that the daemon expects."
  (list :fimd (if fimd-settings (fimd-daemon--json fimd-settings)
                (make-hash-table :size 1))))

(defun fimd-daemon-configure ()
  "Tell a running daemon what `fimd-settings' are now."
  (when (fimd-daemon-running-p)
    (fimd-daemon-notify fimd-daemon-connection :workspace/didChangeConfiguration
                        (list :settings (fimd-daemon-options)))))

(defun fimd-daemon-file-uri (file)
  "The URI of the local FILE."
  (concat "file://" (mapconcat #'url-hexify-string (split-string (file-truename file) "/") "/")))

(defun fimd-daemon--folder (root)
  "The workspace folder ROOT as an object."
  (list :uri (fimd-daemon-file-uri (directory-file-name root))
        :name (file-name-nondirectory (directory-file-name root))))

(defun fimd-daemon-add-root (conn root)
  "Let the daemon of CONN read the folder ROOT, if it does not yet."
  (when (and root (not (member root (fimd-connection-roots conn))))
    (push root (fimd-connection-roots conn))
    (when (fimd-connection-watching conn)
      (run-hook-with-args 'fimd-daemon-watch-functions root))
    (fimd-daemon-notify conn :workspace/didChangeWorkspaceFolders
                        (list :event (list :added (vector (fimd-daemon--folder root))
                                           :removed [])))))

;;;; Messages

(defun fimd-daemon-notify (conn method params)
  "Send the notification METHOD with PARAMS to CONN.
A daemon that has just ended is no error: its end is told where it is noticed."
  (when (jsonrpc-running-p conn)
    (condition-case problem
        (jsonrpc-notify conn method params)
      (error (when (jsonrpc-running-p conn)
               (signal (car problem) (cdr problem)))))))

(defun fimd-daemon-request (conn method params &rest arguments)
  "Send the request METHOD with PARAMS and ARGUMENTS to CONN.
The arguments are those of `jsonrpc-async-request'.
Return whether it could be sent; a daemon that has just ended is no error."
  (condition-case problem
      (progn (apply #'jsonrpc-async-request conn method params arguments)
             t)
    (error (when (jsonrpc-running-p conn)
             (signal (car problem) (cdr problem))))))

(defun fimd-daemon--register (conn registrations)
  "Do what the daemon of CONN asks for with REGISTRATIONS: telling of files."
  (seq-doseq (registration registrations)
    (when (equal (plist-get registration :method) "workspace/didChangeWatchedFiles")
      (setf (fimd-connection-watching conn) t)
      (dolist (root (fimd-connection-roots conn))
        (run-hook-with-args 'fimd-daemon-watch-functions root)))))

(defun fimd-daemon--on-request (conn method params)
  "Answer the request METHOD with PARAMS of the daemon of CONN."
  (pcase method
    ('window/workDoneProgress/create nil)
    ('client/registerCapability
     (fimd-daemon--register conn (plist-get params :registrations))
     nil)
    (_ (jsonrpc-error :code -32601 :message "no such method"))))

(defun fimd-daemon--on-progress (value)
  "Take the progress VALUE of loading the model."
  (pcase (plist-get value :kind)
    ("end" (if (equal (plist-get value :message) "failed")
               (unless (eq fimd-daemon-state 'failed)
                 (fimd-daemon--set-state 'failed "there is no model"))
             (fimd-daemon--ask-state)))
    (_ (fimd-daemon--set-state 'loading (plist-get value :percentage)))))

(defun fimd-daemon--on-notification (conn method params)
  "Take from CONN the notification METHOD with PARAMS."
  (pcase method
    ('$/progress
     (when (equal (plist-get params :token) "fimd/model")
       (fimd-daemon--on-progress (plist-get params :value))))
    ('fimd/inlineCompletion/didUpdate
     (run-hook-with-args 'fimd-daemon-update-functions conn (plist-get params :id)
                         (plist-get params :items) (eq (plist-get params :final) t)))
    ('window/showMessage
     (when (eql (plist-get params :type) 1)
       (fimd-daemon--set-state 'failed (plist-get params :message)))
     (fimd-daemon--say "%s" (plist-get params :message)))
    ('window/logMessage
     (fimd-daemon--log (plist-get params :message)))))

(defun fimd-daemon--log (text)
  "Add the line TEXT to the buffer *fimd log*."
  (with-current-buffer (get-buffer-create "*fimd log*")
    (let ((inhibit-read-only t))
      (save-excursion
        (goto-char (point-max))
        (insert (format-time-string "%T ") text "\n")
        (when (> (buffer-size) 200000)
          (delete-region (point-min) (- (point-max) 100000)))))))

(defun fimd-daemon--ask-state ()
  "Ask whether the model is there; tell those who wait for it."
  (when-let* ((conn fimd-daemon-connection))
    (fimd-daemon-request
     conn :fimd/status nil
     :success-fn
     (lambda (status)
       (when (eq conn fimd-daemon-connection)
         (let ((model (plist-get status :model)))
           (pcase (plist-get model :state)
             ("loading" (fimd-daemon--set-state
                         'loading (floor (* 100 (or (plist-get model :progress) 0)))))
             ("failed" (fimd-daemon--set-state 'failed (plist-get model :error)))
             (_ (fimd-daemon--set-state
                 'ready (format "%s on %s" (plist-get model :name)
                                (plist-get model :backend))))))))
     :error-fn #'ignore :timeout-fn #'ignore)))

;;;; Life

(defun fimd-daemon-running-p ()
  "Return non-nil if our daemon is there and has answered."
  (and fimd-daemon-connection
       (jsonrpc-running-p fimd-daemon-connection)
       (fimd-connection-ready fimd-daemon-connection)))

(defun fimd-daemon--parameters (root)
  "The parameters of initialize, with ROOT as the first folder."
  (list :processId (emacs-pid)
        :clientInfo (list :name "Emacs" :version emacs-version)
        :rootUri (and root (fimd-daemon-file-uri (directory-file-name root)))
        :workspaceFolders (if root (vector (fimd-daemon--folder root)) [])
        :capabilities
        (list :general (list :positionEncodings fimd-daemon--encodings)
              :window '(:workDoneProgress t)
              :workspace '(:workspaceFolders t
                           :didChangeWatchedFiles (:dynamicRegistration t))
              :textDocument '(:synchronization (:didSave t)
                              :inlineCompletion (:dynamicRegistration :json-false))
              :experimental '(:fimd (:streaming t)))
        :initializationOptions (fimd-daemon-options)))

(defun fimd-daemon--process (program)
  "Start PROGRAM.  The name of its error buffer is the one that jsonrpc.el expects."
  (let ((default-directory (expand-file-name "~/")))
    (make-process :name "fimd"
                  :command (append (list program "lsp") fimd-arguments)
                  :connection-type 'pipe
                  :coding 'utf-8-emacs-unix
                  :noquery t
                  :stderr (get-buffer-create "*fimd stderr*"))))

(defun fimd-daemon--connect (program)
  "Start PROGRAM; return the connection to it."
  (let ((conn (make-instance 'fimd-connection
                             :name "fimd"
                             :process (lambda () (fimd-daemon--process program))
                             :events-buffer-config (list :size fimd-log-size :format 'full)
                             :request-dispatcher #'fimd-daemon--on-request
                             :notification-dispatcher #'fimd-daemon--on-notification
                             :on-shutdown #'fimd-daemon--on-end)))
    (add-function :around (process-sentinel (jsonrpc--process conn))
                  #'fimd-daemon--quiet-sentinel)
    conn))

(defun fimd-daemon--quiet-sentinel (sentinel &rest args)
  "Call SENTINEL with ARGS; its messages would repeat ours."
  (let ((inhibit-message t)
        (message-log-max nil))
    (apply sentinel args)))

(defun fimd-daemon--initialize (conn root)
  "Begin to talk with the daemon of CONN, about the folder ROOT."
  (fimd-daemon-request
   conn :initialize (fimd-daemon--parameters root)
   :success-fn
   (lambda (result)
     (setf (fimd-connection-capabilities conn) (plist-get result :capabilities)
           (fimd-connection-roots conn) (and root (list root))
           (fimd-connection-ready conn) t)
     (fimd-daemon-notify conn :initialized (make-hash-table :size 1))
     (when (eq conn fimd-daemon-connection)
       (fimd-daemon--ask-state)
       (run-hooks 'fimd-daemon-ready-hook)))
   :error-fn
   (lambda (error)
     (when (jsonrpc-running-p conn)
       (fimd-daemon--fail "%s does not answer as fimd does: %s" fimd-program
                          (plist-get error :message))))
   :timeout 60
   :timeout-fn
   (lambda () (fimd-daemon--fail "%s does not answer" fimd-program))))

(defun fimd-daemon--fail (format &rest args)
  "Give up, for the reason FORMAT with ARGS."
  (unless (eq fimd-daemon-state 'failed)
    (fimd-daemon--set-state 'failed (apply #'format format args))
    (fimd-daemon--say "fimd: %s" fimd-daemon-detail)))

(defun fimd-daemon-start (&optional root)
  "Start the daemon unless it is there or has failed; ROOT is its first folder."
  (unless (or fimd-daemon-connection (eq fimd-daemon-state 'failed))
    (let* ((default-directory (expand-file-name "~/"))
           (program (executable-find fimd-program)))
      (if (not program)
          (fimd-daemon--fail "there is no program %s; see the variable `fimd-program'" fimd-program)
        (fimd-daemon--set-state 'starting)
        (condition-case problem
            (setq fimd-daemon-connection (fimd-daemon--connect program))
          (error (fimd-daemon--fail "%s cannot be started: %s" program
                                    (error-message-string problem))))
        (when fimd-daemon-connection
          (fimd-daemon--initialize fimd-daemon-connection root)
          ;; One that ended before its sentinel was set would never be missed.
          (unless (jsonrpc-running-p fimd-daemon-connection)
            (fimd-daemon--on-end fimd-daemon-connection)))))))

(defun fimd-daemon--on-end (conn)
  "Note that the daemon of CONN has ended, later: this is called in the sentinel."
  (run-at-time 0 nil #'fimd-daemon--ended conn))

(defun fimd-daemon--ended (conn)
  "Start the daemon again if that of CONN ended by itself, and not too often."
  (when (eq conn fimd-daemon-connection)
    (let* ((now (float-time))
           (root (car (last (fimd-connection-roots conn))))
           (wanted (fimd-connection-leaving conn)))
      (setq fimd-daemon-connection nil
            fimd-daemon--ends (cons now (cl-remove-if (lambda (end) (> (- now end) 60))
                                                      fimd-daemon--ends)))
      (unless (eq fimd-daemon-state 'failed)
        (fimd-daemon--set-state 'stopped))
      (run-hooks 'fimd-daemon-gone-hook)
      (cond
       ((or wanted (eq fimd-daemon-state 'failed)))
       ((<= (length fimd-daemon--ends) fimd-restart-limit)
        (message "fimd: the daemon ended unexpectedly and is started again")
        (fimd-daemon-start root))
       (t
        (fimd-daemon--fail
         "the daemon ended %d times within a minute%s; M-x fimd-restart starts it again"
         (length fimd-daemon--ends) (fimd-daemon--last-words conn)))))))

(defun fimd-daemon--last-words (conn)
  "The last line that the daemon of CONN wrote to standard error, in parentheses."
  (let ((buffer (jsonrpc-stderr-buffer conn)))
    (or (and (buffer-live-p buffer)
             (with-current-buffer buffer
               (save-excursion
                 (goto-char (point-max))
                 ;; What Emacs adds itself is not of interest.
                 (re-search-backward "^Process fimd stderr" nil t)
                 (skip-chars-backward " \n")
                 (unless (bobp)
                   (format " (%s)" (buffer-substring-no-properties (pos-bol) (point)))))))
        "")))

(defun fimd-daemon-stop ()
  "End the daemon, and forget what went wrong before."
  (when-let* ((conn fimd-daemon-connection))
    (setf (fimd-connection-leaving conn) t)
    (setq fimd-daemon-connection nil)
    (when (jsonrpc-running-p conn)
      (if (fimd-connection-ready conn)
          (progn
            (fimd-daemon-request
             conn :shutdown nil
             :success-fn (lambda (_) (fimd-daemon-notify conn :exit nil))
             :error-fn #'ignore :timeout-fn #'ignore)
            ;; It ends by itself when there is no more to read.
            (run-at-time 1 nil (lambda () (delete-process (jsonrpc--process conn)))))
        (delete-process (jsonrpc--process conn))))
    (run-hooks 'fimd-daemon-gone-hook))
  (setq fimd-daemon--ends nil
        fimd-daemon--told nil)
  (fimd-daemon--set-state 'stopped))

(provide 'fimd-daemon)
;;; fimd-daemon.el ends here
